import {readdirSync, readFileSync} from 'node:fs';

const whole = (pid) => {
  try {
    return readdirSync(`/proc/${pid}/task`).every((thread) => /\) [TtZX] /.test(readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8')));
  } catch (error) {
    if (error.code === 'ENOENT' || error.code === 'ESRCH') return false;  // A thread has just ended: looked at again.
    throw error;
  }
};

// Stops a process with SIGSTOP, and returns once no thread of it runs any more: the signal alone only asks for that,
// and a thread that is on a CPU, or next in line for one, works on until it is scheduled again.
export function standStill(pid) {
  process.kill(pid, 'SIGSTOP');
  const end = Date.now() + 60_000;
  while (!whole(pid)) {
    process.kill(pid, 0);  // Throws when the process is gone.
    if (Date.now() > end) throw new Error(`process ${pid} does not stop`);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
  }
}
