import { UsageError } from './exit-codes.js';

/**
 * @typedef {object} Flag One flag, settable on the command line and by its name in a config file.
 * @property {string} name long name without the dashes
 * @property {string} [short] one-letter form, with the dash
 * @property {string} [alias] a former name, which the help text does not mention
 * @property {string} [value] what stands for the value in the help text; a switch has none
 * @property {string} help one or two phrases
 * @property {'switch'|'text'|'date'|'list'|'repeat'|'choice'|'integer'|'duration'|'durations'|'pair'|'url'|'urls'|'origin'|'rewrite'|'header'} kind
 * @property {string[]} [choices] for `choice`, and for a `list` of nothing else
 * @property {number} [min] for `integer`
 * @property {'value'|'unless-file'} [secret] the value must never be printed; `unless-file`: it may also name a file, which may
 * @property {string} [group] heading in the help text
 */

const DURATION = /^\d+(\.\d+)?(ms|s|m|h|d)?$/;
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
// RFC 9110 §5.5: no control characters; fetch and node:http take Latin-1 only.
const FIELD_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

/**
 * Checks one value, of the command line or of a config file, and brings it into its final form.
 * @param {Flag} flag
 * @param {unknown} raw text or `true` from the command line, whatever TOML knows from a file
 * @param {string} where how to call the setting in a message, such as `--since` or `since in site.toml`
 */
export function readValue(flag, raw, where) {
  const read = READERS[flag.kind];
  return read(raw, (message) => new UsageError(`${where}: ${message}`), flag);
}

const READERS = {
  switch(raw, wrong) {
    if (typeof raw !== 'boolean') throw wrong('must be true or false.');
    return raw;
  },
  text: oneText,
  date(raw, wrong) {
    // An unquoted date in TOML is a date of its own kind; its ISO form is what the user wrote.
    return oneText(raw instanceof Date ? raw.toISOString() : raw, wrong);
  },
  /** Comma lists, repeated or not, as one list of their items. */
  list(raw, wrong, { choices }) {
    const items = texts(raw, wrong).flatMap((text) => text.split(','));
    const trimmed = items.map((item) => item.trim());
    if (trimmed.includes('')) throw wrong('an item of the list is empty.');
    const other = choices && trimmed.find((item) => !choices.includes(item));
    if (other !== undefined) throw wrong(`'${other}' is none of ${choices.join(', ')}.`);
    return trimmed;
  },
  /** Values that may hold commas of their own. */
  repeat: texts,
  choice(raw, wrong, flag) {
    const text = oneText(raw, wrong);
    if (!flag.choices.includes(text)) throw wrong(`'${text}' is none of ${flag.choices.join(', ')}.`);
    return text;
  },
  integer(raw, wrong, flag) {
    const number = typeof raw === 'string' && /^\d+$/.test(raw.trim()) ? Number(raw) : raw;
    const { min, max = 2 ** 31 - 1 } = flag;
    if (!Number.isInteger(number) || number < min || number > max) {
      throw wrong(`'${raw}' is not a whole number from ${min} to ${max}.`);
    }
    return number;
  },
  duration: oneDuration,
  durations(raw, wrong) {
    const parts = Array.isArray(raw) ? raw : typeof raw === 'string' ? raw.split(',') : [raw];
    return parts.map((part) => oneDuration(part, wrong));
  },
  /** `NAME=VALUE`, cut at the first `=`. */
  pair(raw, wrong) {
    return texts(raw, wrong).map((text) => {
      const cut = text.indexOf('=');
      if (cut < 1) throw wrong(`'${text}' must have the form NAME=VALUE.`);
      return [text.slice(0, cut), text.slice(cut + 1)];
    });
  },
  url: oneUrl,
  urls(raw, wrong) {
    return texts(raw, wrong).map((text) => oneUrl(text, wrong));
  },
  origin(raw, wrong) {
    return texts(raw, wrong).map((text) => {
      const url = webUrl(text);
      if (!url || url.username || url.password || url.search || url.hash || url.pathname !== '/') {
        throw wrong(`'${withoutUserInfo(text)}' is not an origin; write for example https://files.example.org.`);
      }
      return url.origin;
    });
  },
  /** `FROM=TO`, two URL prefixes; `=` may occur in FROM. */
  rewrite(raw, wrong) {
    return texts(raw, wrong).map((text) => {
      const [, from, to] = /^(https?:\/\/.+?)=(https?:\/\/.+)$/i.exec(text) ?? [];
      if (!webUrl(from) || !webUrl(to)) {
        throw wrong(`'${text}' must have the form FROM=TO with two URLs, such as http://internal:8080/fhir=https://ehr.example.org/fhir.`);
      }
      return [from, to];
    });
  },
  /** `Name: value`. The value may be a secret: no message repeats it. */
  header(raw, wrong) {
    return texts(raw, wrong).map((text) => {
      const cut = text.indexOf(':');
      const name = text.slice(0, cut).trim();
      const value = text.slice(cut + 1).trim();
      if (cut < 1 || !TOKEN.test(name)) throw wrong("must have the form 'Name: value'.");
      if (!FIELD_VALUE.test(value)) throw wrong(`the value of ${name} holds characters that no header may have.`);
      return [name, value];
    });
  },
};

function oneText(raw, wrong) {
  if (Array.isArray(raw)) throw wrong('takes one value, not a list.');
  if (typeof raw !== 'string') throw wrong('must be a text in quotation marks.');
  if (raw.trim() === '') throw wrong('is empty.');
  return raw;
}

function oneUrl(raw, wrong) {
  const text = oneText(raw, wrong);
  const url = webUrl(text);
  if (!url) throw wrong(`'${withoutUserInfo(text)}' is not a URL; it must begin with https:// or http://.`);
  if (url.username || url.password) throw wrong('must not hold a user name or a password; use --basic-user and --basic-passwd.');
  if (url.search || url.hash) throw wrong(`'${text}' must not have a query or a fragment.`);
  return text;
}

function texts(raw, wrong) {
  return (Array.isArray(raw) ? raw : [raw]).map((item) => {
    if (Array.isArray(item)) throw wrong('must not hold lists within the list.');
    return oneText(item, wrong);
  });
}

/** Durations go to the core as they are, which knows their value; here they are only checked, so that the message can name the flag. */
function oneDuration(raw, wrong) {
  const text = typeof raw === 'number' ? String(raw) : typeof raw === 'string' ? raw.trim() : '';
  if (!DURATION.test(text)) throw wrong(`'${raw}' is not a duration; write for example 0.2s, 90s, 5m, 1h or 30d.`);
  return text;
}

function webUrl(text) {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  return url && /^https?:$/.test(url.protocol) && url.hostname ? url : undefined;
}

function withoutUserInfo(text) {
  return text.replace(/\/\/[^/@]*@/, '//…@');
}
