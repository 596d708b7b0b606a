// Sends one file with tus-js-client: `node tus_js.mjs '{"endpoint": …, "headers": {…}, "file": …, "metadata": {…},
// "parallel": 1, "chunk": null}'`. Prints {"progress": bytes}, then {"done": url} or {"failed": text}.
import { createReadStream, readFileSync, statSync } from 'node:fs';
import * as tus from 'tus-js-client';

const wanted = JSON.parse(process.argv[2]);
const say = (line) => console.log(JSON.stringify(line));
const size = statSync(wanted.file).size;

// Parallel uploads read several parts at once, which needs the file in memory.
const input = wanted.parallel > 1 ? readFileSync(wanted.file) : createReadStream(wanted.file);

const upload = new tus.Upload(input, {
  endpoint: wanted.endpoint,
  headers: wanted.headers,
  metadata: wanted.metadata,
  uploadSize: wanted.parallel > 1 ? undefined : size,
  chunkSize: wanted.chunk ?? (wanted.parallel > 1 ? Infinity : 1024 * 1024),
  parallelUploads: wanted.parallel,
  // Many cuts in a row without progress between them are possible: the client gives up after the last delay.
  retryDelays: Array(60).fill(100),
  onProgress: (sent) => say({ progress: sent }),
  onSuccess: () => {
    say({ done: upload.url });
    process.exit(0);
  },
  onError: (error) => {
    say({ failed: String(error) });
    process.exit(1);
  },
});
upload.start();
