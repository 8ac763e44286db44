import {method, type Method} from './channel.js';
import {Channels} from './channels.js';
import {momentField, nameField, optionalNameField, pageSizeField, booleanOption, optionsOf, wordField} from './checks.js';
import {dateOf, numberOf, timestampOf, v1} from './codec.js';
import type {ConnectOptions} from './options.js';

const REQUEST_TIMEOUT_MS = 10_000;

export type Platform = 'win32' | 'linux' | 'darwin';
const PLATFORMS: readonly Platform[] = ['win32', 'linux', 'darwin'];

/** A credential as the store holds it, never with its secret. */
export interface Credential {
  userId: string;
  platform: Platform;
  /** As the agent's last session left it. */
  status: 'pending' | 'connected' | 'disconnected';
  createdAt?: Date | undefined;
  /** When the agent last connected or disconnected; absent if it never did. */
  lastSeen?: Date | undefined;
  revoked: boolean;
}

/** A new secret. The store keeps only a hash of it: this is the one time it can be read. */
export interface CredentialSecret {
  userId: string;
  /** 64 hex digits, what the agent connects with. */
  secret: string;
}

/** Where the sessions that were opened with a secret have ended. */
export interface Reach {
  /** Every edge has confirmed that no such session is left. */
  everywhere: boolean;
  /**
   * Edges that have not confirmed it within 2 s. A session there ends when the edge next checks its secret. None, though
   * it is not everywhere: the registry is unavailable, and edges may be unknown.
   */
  edgesNotHeard: string[];
}

/** One row of the audit log. */
export interface Execution {
  userId: string;
  requestId: string;
  tool: string;
  /** JSON as the log holds it: large texts are shortened and marked. Empty: none. */
  paramsJson: Buffer;
  resultJson: Buffer;
  success: boolean;
  /** The tool's error, or the reason why there was no answer. */
  error?: string | undefined;
  /** The running time that the agent reported, in milliseconds. */
  executionTimeMs?: number | undefined;
  /** When the call settled. */
  createdAt?: Date | undefined;
  /** Who called, by the name of the token; absent if control asked for none. */
  caller?: string | undefined;
}

export interface ListExecutionsOptions {
  /** Only this user's; everyone's if absent. */
  userId?: string | undefined;
  /** Only calls that settled at this time or later; a Date, or Unix time in milliseconds. */
  from?: Date | number | undefined;
  /** Only calls that settled before this time. */
  until?: Date | number | undefined;
  /** Rows fetched at a time: default 50, at most 1,000. */
  pageSize?: number | undefined;
}

const path = (name: string): string => `/toolwire.v1.AgentAdmin/${name}`;
const CREATE = method(path('CreateCredential'), v1.CreateCredentialRequest, v1.CredentialSecret, true);
const ROTATE = method(path('RotateCredential'), v1.RotateCredentialRequest, v1.CredentialSecret, true);
const REVOKE = method(path('RevokeCredential'), v1.RevokeCredentialRequest, v1.RevokeCredentialResponse, true);
const LIST = method(path('ListCredentials'), v1.ListCredentialsRequest, v1.ListCredentialsResponse);
const DISCONNECT = method(path('DisconnectAgent'), v1.DisconnectAgentRequest, v1.DisconnectAgentResponse, true);
const EXECUTIONS = method(path('ListExecutions'), v1.ListExecutionsRequest, v1.ListExecutionsResponse);

const secretOf = ({userId, secret}: v1.CredentialSecret): CredentialSecret => ({userId, secret});
const reachOf = ({everywhere, edgesNotHeard}: Reach): Reach => ({everywhere, edgesNotHeard});
const credentialOf = ({userId, platform, status, createdAt, lastSeen, revoked}: v1.ICredential): Credential => ({
  userId: userId!,
  platform: platform as Platform,
  status: status as Credential['status'],
  createdAt: dateOf(createdAt),
  lastSeen: dateOf(lastSeen),
  revoked: revoked!,
});
const executionOf = (row: v1.IExecution): Execution => ({
  userId: row.userId!,
  requestId: row.requestId!,
  tool: row.tool!,
  paramsJson: row.paramsJson as Buffer,
  resultJson: row.resultJson as Buffer,
  success: row.success!,
  error: row.error || undefined,
  executionTimeMs: row.executionTimeMs == null ? undefined : numberOf(row.executionTimeMs),
  createdAt: dateOf(row.createdAt),
  caller: row.caller || undefined,
});

/**
 * Credentials, live sessions and the audit log, for operators and an application's install page. Every method rejects
 * with a {@link ToolwireError}; its `code` is that of the method's description. What changes something is asked of one
 * control, once: after `delivery` SENT it may or may not have been done.
 */
export class ToolwireAdmin {
  readonly #channels: Channels;

  /** @throws TypeError An option is wrong. */
  constructor(options?: ConnectOptions) {
    this.#channels = new Channels(optionsOf(options));
  }

  /** Makes a credential for a user who has none, or whose last one was revoked; ALREADY_EXISTS otherwise. */
  async createCredential(userId: string, options?: {platform?: Platform | undefined}): Promise<CredentialSecret> {
    const platform = wordField('platform', optionsOf(options).platform, PLATFORMS);
    return secretOf(await this.#ask(CREATE, {userId: nameField('user_id', userId), platform}));
  }

  /**
   * Replaces a user's secret. The old one is refused from now on, and the live session is closed unless `keepSession`.
   * NOT_FOUND: the user has no credential, or it was revoked.
   */
  async rotateCredential(
    userId: string, options?: {keepSession?: boolean | undefined},
  ): Promise<CredentialSecret & Reach> {
    const keepSession = booleanOption('keepSession', optionsOf(options).keepSession);
    const rotated = await this.#ask(ROTATE, {userId: nameField('user_id', userId), keepSession});
    return {...secretOf(rotated), ...reachOf(rotated)};
  }

  /**
   * Refuses a user's secret from now on and closes the live session at once, wherever it is. NOT_FOUND: the user has no
   * credential. Repeating it is harmless.
   */
  async revokeCredential(userId: string): Promise<{sessionClosed: boolean} & Reach> {
    const revoked = await this.#ask(REVOKE, {userId: nameField('user_id', userId)});
    return {sessionClosed: revoked.sessionClosed, ...reachOf(revoked)};
  }

  /** All credentials in the order of user ids, in pages of `pageSize` (default 100, at most 1,000) as they are taken. */
  async *listCredentials(
    options?: {pageSize?: number | undefined},
  ): AsyncGenerator<Credential, void, undefined> {
    const pageSize = pageSizeField(optionsOf(options).pageSize);
    for (let pageToken = ''; ; ) {
      const page = await this.#ask(LIST, {pageSize, pageToken});
      for (const one of page.credentials) yield credentialOf(one);
      pageToken = page.nextPageToken;
      if (pageToken === '') return;
    }
  }

  /**
   * Closes the live session of a user (4003) and says at which edge. The credential stays good: agents come back.
   * NOT_FOUND: no agent of this user is connected.
   */
  async disconnectAgent(userId: string): Promise<{serverId: string}> {
    const {serverId} = await this.#ask(DISCONNECT, {userId: nameField('user_id', userId)});
    return {serverId};
  }

  /** Rows of the audit log, newest first, fetched in pages as they are taken. */
  async *listExecutions(given?: ListExecutionsOptions): AsyncGenerator<Execution, void, undefined> {
    const options = optionsOf(given);
    const userId = optionalNameField('user_id', options.userId);
    const pageSize = pageSizeField(options.pageSize);
    const from = timestampOf(momentField('from', options.from));
    const until = timestampOf(momentField('until', options.until));
    for (let pageToken = ''; ; ) {
      const page = await this.#ask(EXECUTIONS, {userId, from, until, pageSize, pageToken});
      for (const row of page.executions) yield executionOf(row);
      pageToken = page.nextPageToken;
      if (pageToken === '') return;
    }
  }

  async #ask<Request, Response>(wanted: Method<Request, Response>, request: Request): Promise<Response> {
    return this.#channels.unary(wanted, request, REQUEST_TIMEOUT_MS);
  }

  /** Afterwards nothing of it keeps the process alive; requests under way fail. */
  close(): void {
    this.#channels.close();
  }
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}
