// The pages of the authorization server that people see: choosing a patient, and what went wrong before there is an app
// to go back to.
const STYLE = `
  :root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
  body { max-width: 34rem; margin: 2rem auto; padding: 0 1rem; }
  ul { list-style: none; padding: 0; }
  li a { display: flex; justify-content: space-between; gap: 1rem; padding: .7rem .9rem; margin: .4rem 0; border: 1px solid #8886;
    border-radius: .5rem; text-decoration: none; color: inherit; }
  li a:hover, li a:focus-visible { outline: 2px solid #06c; outline-offset: -1px; }
  small { opacity: .75; white-space: nowrap; }`;

const ESCAPES = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
const escape = (text) => String(text).replace(/[&<>"']/g, (sign) => ESCAPES[sign]);

function page(title, body) {
  return `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escape(title)}</title>
<style>${STYLE}</style></head><body><main><h1>${escape(title)}</h1>
${body}
</main></body></html>
`;
}

/** What the pages are sent with: they hold no script, and their address holds the state of an app. */
export const PAGE_HEADERS = {
  'Content-Security-Policy': "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'",
  'Referrer-Policy': 'no-referrer', 'Cache-Control': 'no-store',
};

/** `again({name: value})` is the URL of the same request with further parameters. */
export function patientPage({ title, intro, patients, again, refuse }) {
  const rows = patients.map(({ id, name, birthDate, gender }) => `<li><a href="${escape(again({ patient: id }))}" data-patient="${escape(id)}">
<span>${escape(name)}</span><small>${escape([gender, birthDate].filter(Boolean).join(', '))}</small></a></li>`);
  const leave = refuse ? `<p><a href="${escape(refuse)}">Do not let the app in</a></p>` : '';
  return page(title, `<p>${escape(intro)}</p>\n<ul>\n${rows.join('\n')}\n</ul>\n${leave}`);
}

export function errorPage(text) {
  return page('The app cannot be let in', `<p>${escape(text)}</p>`);
}
