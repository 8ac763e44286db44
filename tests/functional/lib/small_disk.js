// A file system of a few megabytes, in memory, that a test may fill.
import {execFile, spawn, spawnSync} from 'node:child_process';
import {statfs} from 'node:fs/promises';
import {promisify} from 'node:util';
import {deferred, until, within} from './until.js';

const execute = promisify(execFile);

// Mounts, and unmounts once its standard input ends: also when the test is killed.
const KEEPER = `trap "" INT TERM HUP
mount -t tmpfs -o "size=$2,mode=0700" tmpfs "$1" && echo mounted
cat > /dev/null
umount -l "$1"`;

export class SmallDisk {
  #bytes;
  #keeper;
  #ended = deferred();

  // Why there can be none, or undefined.
  static missing() {
    if (process.getuid() !== 0) return 'only root may mount a file system';
    // In a name space of its own, which ends with the command.
    const {status} = spawnSync('unshare', ['--mount', 'mount', '-t', 'tmpfs', '-o', 'size=64k', 'none', '/mnt']);
    return status === 0 ? undefined : 'no file system can be mounted here';
  }

  // Over an empty directory of the scope's. To be mounted before the servers that use it are the scope's, as it is
  // unmounted after them.
  static async mount(scope, directory, bytes) {
    const disk = new SmallDisk();
    disk.directory = directory;
    disk.#bytes = bytes;
    disk.#keeper = spawn('sh', ['-c', KEEPER, 'sh', directory, String(bytes)], {stdio: ['pipe', 'pipe', 'inherit']});
    disk.#keeper.on('close', disk.#ended.resolve);
    const mounted = deferred();
    disk.#keeper.stdout.once('data', mounted.resolve);
    void disk.#ended.promise.then(() => mounted.reject(new Error(`${directory} cannot be mounted`)));
    await within('a small file system is mounted', mounted.promise);
    scope.backend(disk);
    return disk;
  }

  #resize(bytes) {
    return execute('mount', ['-o', `remount,size=${bytes}`, this.directory]);
  }
  // From now on it has no more room. What others write meanwhile makes the new size too small: then it is asked again.
  fill() {
    return until('the file system is full', async () => {
      const {blocks, bfree, bsize} = await statfs(this.directory);
      await this.#resize((blocks - bfree) * bsize);
      return true;
    });
  }
  free() {
    return this.#resize(this.#bytes);
  }
  async stop() {
    this.#keeper.stdin.end();
    await within('the small file system is unmounted', this.#ended.promise);
  }
}
