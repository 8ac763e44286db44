// Messages of the public services as bytes. Everything is generated from the protos, but for the one message that is
// written once per call: DispatchRequest goes straight from the calls into its bytes (see bench/codec.mjs for what the
// generated encoder costs; test/codec.test.js holds this one against it).
import {toolwire} from '../generated/proto.js';

export import v1 = toolwire.v1;

/** What of a call goes into a message. */
export interface CallFields {
  readonly id: number;
  readonly userId: string;
  readonly tool: string;
  readonly params: string | Uint8Array;
  readonly paramsBytes: number;
  readonly requestId: string;
  readonly deadline: number;
}

const SMALLEST_BYTES = 16 << 10;
// A buffer that had to hold one large call is not kept.
const KEPT_BYTES = 1 << 20;
// Strings up to here are written faster byte by byte than by a call into C++.
const SHORT = 32;
// What a call takes beside its strings, at most: tags and lengths, an id, a timeout.
const CALL_OVERHEAD_BYTES = 64;

function varintBytes(value: number): number {
  let bytes = 1;
  for (; value >= 0x80; value = Math.floor(value / 0x80)) ++bytes;
  return bytes;
}

/** Writes DispatchRequests, one at a time, into a buffer that it uses again. */
export class RequestWriter {
  #buffer = Buffer.allocUnsafeSlow(SMALLEST_BYTES);
  #at = 0;

  /**
   * The bytes of a message with these calls and cancels; `now` is what is left of the deadlines counted from, in ms of
   * the monotonic clock. `clockMs` is that clock as control is told it, a whole number; 0: it is not. They hold until the
   * next message is written.
   */
  write(calls: readonly CallFields[], cancels: readonly number[], now: number, clockMs = 0): Buffer {
    if (this.#buffer.length > KEPT_BYTES) this.#buffer = Buffer.allocUnsafeSlow(SMALLEST_BYTES);
    this.#at = 0;
    for (const call of calls) this.#call(call, now);
    for (const id of cancels) {
      this.#room(16);
      this.#buffer[this.#at++] = 0x10;  // cancels = 2, one varint
      this.#varint(id);
    }
    if (clockMs > 0) {
      this.#room(16);
      this.#buffer[this.#at++] = 0x18;  // clock_ms = 3
      this.#varint(clockMs);
    }
    return this.#buffer.subarray(0, this.#at);
  }

  #call({id, userId, tool, params, paramsBytes, requestId, deadline}: CallFields, now: number): void {
    const userBytes = Buffer.byteLength(userId);
    const toolBytes = Buffer.byteLength(tool);
    const idBytes = requestId === '' ? 0 : Buffer.byteLength(requestId);
    const leftUs = Math.max(1, Math.round((deadline - now) * 1000));
    const seconds = Math.floor(leftUs / 1_000_000);
    const nanos = (leftUs % 1_000_000) * 1000;
    const durationBytes = (seconds > 0 ? 1 + varintBytes(seconds) : 0) + (nanos > 0 ? 1 + varintBytes(nanos) : 0);
    const body =
      1 + varintBytes(userBytes) + userBytes + 1 + varintBytes(toolBytes) + toolBytes +
      (paramsBytes > 0 ? 1 + varintBytes(paramsBytes) + paramsBytes : 0) +
      (idBytes > 0 ? 1 + varintBytes(idBytes) + idBytes : 0) + 2 + durationBytes;

    this.#room(CALL_OVERHEAD_BYTES + body);
    const out = this.#buffer;
    out[this.#at++] = 0x0a;  // DispatchRequest.calls = 1
    this.#varint(1 + varintBytes(id) + 1 + varintBytes(body) + body);
    out[this.#at++] = 0x08;  // DispatchCall.id = 1
    this.#varint(id);
    out[this.#at++] = 0x12;  // DispatchCall.call = 2
    this.#varint(body);
    out[this.#at++] = 0x0a;  // CallToolRequest.user_id = 1
    this.#text(userId, userBytes);
    out[this.#at++] = 0x12;  // tool = 2
    this.#text(tool, toolBytes);
    if (paramsBytes > 0) {
      out[this.#at++] = 0x1a;  // params_json = 3
      if (typeof params === 'string') {
        this.#text(params, paramsBytes);
      } else {
        this.#varint(paramsBytes);
        out.set(params, this.#at);
        this.#at += paramsBytes;
      }
    }
    if (idBytes > 0) {
      out[this.#at++] = 0x2a;  // request_id = 5
      this.#text(requestId, idBytes);
    }
    out[this.#at++] = 0x32;  // timeout = 6
    out[this.#at++] = durationBytes;
    if (seconds > 0) {
      out[this.#at++] = 0x08;
      this.#varint(seconds);
    }
    if (nanos > 0) {
      out[this.#at++] = 0x10;
      this.#varint(nanos);
    }
  }

  #room(bytes: number): void {
    if (this.#at + bytes <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(2 * this.#buffer.length, this.#at + bytes));
    this.#buffer.copy(larger, 0, 0, this.#at);
    this.#buffer = larger;
  }
  #varint(value: number): void {
    const out = this.#buffer;
    while (value >= 0x80) {
      out[this.#at++] = (value % 0x80) | 0x80;
      value = Math.floor(value / 0x80);
    }
    out[this.#at++] = value;
  }
  #text(text: string, bytes: number): void {
    this.#varint(bytes);
    const out = this.#buffer;
    if (bytes !== text.length) {
      out.write(text, this.#at, bytes, 'utf8');
    } else if (bytes > SHORT) {
      out.write(text, this.#at, bytes, 'latin1');  // All of it is ASCII, so this is a copy.
    } else {
      for (let i = 0; i < bytes; ++i) out[this.#at + i] = text.charCodeAt(i);
    }
    this.#at += bytes;
  }
}

/** Of the two forms in which the generated code reads 64-bit integers. All of ours are below 2^53. */
export const numberOf = (value: v1.IDispatchAnswer['id']): number =>
  typeof value === 'number' ? value : (value?.toNumber() ?? 0);

export const dateOf = (timestamp: v1.IAgent['connectedAt']): Date | undefined =>
  timestamp ? new Date(numberOf(timestamp.seconds) * 1000 + (timestamp.nanos ?? 0) / 1e6) : undefined;

/** Of Unix time in milliseconds. */
export function timestampOf(ms: number | undefined): {seconds: number; nanos: number} | undefined {
  if (ms === undefined) return undefined;
  const seconds = Math.floor(ms / 1000);
  return {seconds, nanos: Math.min(Math.round((ms - seconds * 1000) * 1e6), 999_999_999)};
}
