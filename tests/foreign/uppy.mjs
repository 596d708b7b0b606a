// Sends files with Uppy and its tus plug-in: `node uppy.mjs '{"endpoint": …, "headers": {…}, "files": [paths],
// "chunk": null}'`. Prints {"progress": bytes}, then {"done": {name: url}} or {"failed": text}.
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import Uppy from '@uppy/core';
import Tus from '@uppy/tus';

const wanted = JSON.parse(process.argv[2]);
const say = (line) => console.log(JSON.stringify(line));

const uppy = new Uppy({ autoProceed: false });
uppy.use(Tus, {
  endpoint: wanted.endpoint,
  headers: wanted.headers,
  chunkSize: wanted.chunk ?? Infinity,
  limit: 4,
  retryDelays: Array(60).fill(100),
});
for (const path of wanted.files) {
  // Uppy asks a Blob for its size, its tus client in Node takes only a Buffer: this is both.
  const bytes = readFileSync(path);
  const data = Object.assign(bytes, { size: bytes.length });
  uppy.addFile({ name: basename(path), type: 'image/jpeg', data });
}
uppy.on('upload-progress', (file, progress) => say({ progress: progress.bytesUploaded }));
const result = await uppy.upload();
if (result.failed.length > 0) {
  say({ failed: result.failed.map((file) => file.error).join('; ') });
  process.exit(1);
}
say({ done: Object.fromEntries(result.successful.map((file) => [file.name, file.uploadURL])) });
process.exit(0);
