import {inspect} from 'node:util';

/** What the agent answered. */
export class ToolResult<T = unknown> {
  /** The id that the call has in the audit log. */
  readonly requestId: string;
  /** Whether the tool says that it succeeded. */
  readonly success: boolean;
  /**
   * The result as JSON text, byte for byte as the agent wrote it; empty if it sent none. A view of the message it came
   * in (up to 256 KiB): copy it to keep it for long.
   */
  readonly resultJson: Buffer;
  /** The tool's own error text; `undefined` if there is none. */
  readonly error: string | undefined;
  /** The running time that the agent reported, in milliseconds; `undefined` if it reported none. */
  readonly executionTimeMs: number | undefined;
  readonly #parse: (text: string) => unknown;
  #result: unknown;
  #parsed = false;

  /** @internal */
  constructor(
    requestId: string, success: boolean, resultJson: Buffer, error: string | undefined,
    executionTimeMs: number | undefined, parse: (text: string) => unknown,
  ) {
    this.requestId = requestId;
    this.success = success;
    this.resultJson = resultJson;
    this.error = error;
    this.executionTimeMs = executionTimeMs;
    this.#parse = parse;
  }

  /**
   * The result, parsed when it is first asked for; `undefined` if the agent sent none.
   * @throws SyntaxError Never with the default parser: Toolwire has validated the text.
   */
  get result(): T {
    if (!this.#parsed) {
      this.#result = this.resultJson.length === 0 ? undefined : this.#parse(this.resultJson.toString());
      this.#parsed = true;
    }
    return this.#result as T;
  }

  toJSON(): {requestId: string; success: boolean; result: T; error?: string | undefined; executionTimeMs?: number | undefined} {
    const {requestId, success, result, error, executionTimeMs} = this;
    return {requestId, success, result, error, executionTimeMs};
  }
  [inspect.custom](): unknown {
    return this.toJSON();
  }
}
