/**
 * Clients of SMART apps.
 */
import { Client, type ClientOptions } from './index.js';

/** What is used of a session of `fhirclient` (npm), the client that `FHIR.oauth2.ready()` resolves to. */
export interface SmartSession {
  state: {
    serverUrl: string;
    tokenResponse?: { access_token?: string; refresh_token?: string };
    /** Unix time in seconds. */
    expiresAt?: number;
    username?: string;
    password?: string;
  };
  patient?: { id: string | null };
  user?: { fhirUser: string | null };
  refresh(): Promise<unknown>;
}

/** A client that speaks for a SMART app. */
export declare class SmartAppClient extends Client {
  /** The id of the patient in context; `null` where there is none. */
  readonly patient: string | null;
  /** Who uses the app, such as `Practitioner/1`; `null` without the scopes `openid fhirUser`. */
  readonly user: string | null;
}

/**
 * The client for a SMART app's session: its server, its token, which is refreshed through the session for as long as a job runs.
 *
 * ```js
 * import { fromSmartClient, openFolder } from 'smart-fetch';
 *
 * const client = fromSmartClient(await FHIR.oauth2.ready());
 * if (client.patient === null) throw new Error('Open this app from the chart of a patient.');
 * const folder = await openFolder(`chart of ${client.patient}`);
 * await client.crawl(folder, { ids: [client.patient] }).result;
 * for await (const condition of folder.resources('Condition')) show(condition);
 * ```
 */
export declare function fromSmartClient(
  session: SmartSession,
  options?: Omit<ClientOptions, 'fhirUrl' | 'auth' | 'bulkAuth'>,
): SmartAppClient;
