// The tables of the replaced server, empty.
export const OLD_TABLES = `
  CREATE TABLE agent_credentials (
    user_id text PRIMARY KEY, shared_secret text NOT NULL UNIQUE, platform text NOT NULL, status text DEFAULT 'pending',
    created_at timestamp DEFAULT now(), last_seen timestamp, metadata jsonb);
  CREATE TABLE tool_execution_logs (
    id bigserial PRIMARY KEY, user_id text, request_id text, tool_name text, params jsonb NOT NULL, result jsonb,
    success boolean NOT NULL, error text, execution_time_ms integer, created_at timestamp DEFAULT now())`;
