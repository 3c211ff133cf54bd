// When resources happened: which of their dates counts, and how dates become columns.

/** Elements that say when a resource happened, the most telling first; dotted ones are of a period. */
const DATES = [
  'effectiveDateTime', 'effectivePeriod.start', 'effectiveInstant', 'performedDateTime', 'performedPeriod.start', 'occurrenceDateTime', 'occurrencePeriod.start',
  'onsetDateTime', 'onsetPeriod.start', 'period.start', 'authoredOn', 'whenHandedOver', 'whenPrepared', 'started', 'issued', 'date', 'recordedDate', 'recorded',
  'collection.collectedDateTime', 'receivedTime', 'birthDate', 'created', 'manufactureDate', 'meta.lastUpdated',
];

/** The date of a resource as `YYYY-MM` or `YYYY`; undefined if it has none. */
export function dateOf(resource) {
  for (const path of DATES) {
    const value = path.split('.').reduce((at, name) => at?.[name], resource);
    const found = typeof value === 'string' ? /^\d{4}(-\d{2})?/.exec(value) : undefined;
    if (found) return found[0];
  }
  return undefined;
}

/** Longest span that is shown by month. */
const MONTHS = 30;

/**
 * Columns without gaps, by month if the span is short and every date has one, else by year.
 * @param {Map<string, number>} counts by `YYYY-MM` or `YYYY`
 * @returns {{ unit: 'month' | 'year', columns: [string, number][] }}
 */
export function columnsOf(counts) {
  const dates = [...counts.keys()].sort();
  if (dates.length === 0) return { unit: 'year', columns: [] };
  const index = (date) => Number(date.slice(0, 4)) * 12 + Number(date.slice(5) || 1) - 1;
  const byMonth = dates.every((date) => date.length > 4) && index(dates.at(-1)) - index(dates[0]) < MONTHS;
  const columns = [];
  if (byMonth) {
    for (let at = index(dates[0]); at <= index(dates.at(-1)); at += 1) {
      const name = `${Math.floor(at / 12)}-${String((at % 12) + 1).padStart(2, '0')}`;
      columns.push([name, counts.get(name) ?? 0]);
    }
    return { unit: 'month', columns };
  }
  const years = new Map();
  for (const [date, number] of counts) years.set(date.slice(0, 4), (years.get(date.slice(0, 4)) ?? 0) + number);
  const [first, last] = [Number(dates[0].slice(0, 4)), Number(dates.at(-1).slice(0, 4))];
  // A wrong date, such as of the year 9999, must not make thousands of columns.
  if (last - first > 150) return { unit: 'year', columns: [...years].sort() };
  for (let year = first; year <= last; year += 1) columns.push([String(year), years.get(String(year)) ?? 0]);
  return { unit: 'year', columns };
}
