import { version } from 'smart-fetch'; document.body.textContent = 'smart-fetch ' + (await version());
