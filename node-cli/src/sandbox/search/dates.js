// FHIR date search: values and resource dates are ranges of time (R4 search, section 3.1.1.4.5).
const VALUE = /^(eq|ne|gt|lt|ge|le|sa|eb|ap)?(\d{4}(?:-\d{2}(?:-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:\d{2})?)?)?)?)$/;
const INSTANT = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:\d{2})$/;
const MINUTE = 60_000;

/** `[from, to)` in ms for a FHIR date of any precision (UTC where it has no zone), or null. */
export function dateRange(text) {
  if (typeof text !== 'string') return null;
  if (/^\d{4}$/.test(text)) return [Date.UTC(Number(text)), Date.UTC(Number(text) + 1)];
  if (/^\d{4}-\d{2}$/.test(text)) {
    const [year, month] = text.split('-').map(Number);
    return [Date.UTC(year, month - 1), Date.UTC(year, month)];
  }
  const from = Date.parse(text.includes('T') && !/(?:Z|[+-]\d{2}:\d{2})$/.test(text) ? `${text}Z` : text);
  if (Number.isNaN(from)) return null;
  if (!text.includes('T')) return [from, from + 1440 * MINUTE];
  if (/T\d{2}:\d{2}(?:Z|[+-]|$)/.test(text)) return [from, from + MINUTE];
  return [from, from + (text.includes('.') ? 1 : 1000)];
}

/** Range of a resource's date: a dateTime, instant, date or Period. */
export function valueRange(value) {
  if (typeof value === 'string') return dateRange(value);
  const start = dateRange(value?.start);
  const end = dateRange(value?.end);
  if (!start && !end) return null;
  return [start ? start[0] : -Infinity, end ? end[1] : Infinity];
}

/** `gt2020-01` to a test over ranges, or null where it is no date value. */
export function dateTest(text) {
  const match = VALUE.exec(text);
  const range = match && dateRange(match[2]);
  if (!range) return null;
  const [from, to] = range;
  switch (match[1] ?? 'eq') {
    case 'eq': return ([a, b]) => a >= from && b <= to;
    case 'ne': return ([a, b]) => a < from || b > to;
    case 'gt': return ([, b]) => b > to;
    case 'ge': return ([a, b]) => b > to || (a >= from && b <= to);
    case 'lt': return ([a]) => a < from;
    case 'le': return ([a, b]) => a < from || (a >= from && b <= to);
    case 'sa': return ([a]) => a >= to;
    case 'eb': return ([, b]) => b <= from;
    default: return ([a, b]) => a < to + (to - from) && b > from - (to - from);
  }
}

/** An instant (seconds and zone required) in ms, or null. */
export function instant(text) {
  if (!INSTANT.test(text)) return null;
  const time = Date.parse(text);
  return Number.isNaN(time) ? null : time;
}
