// Runs @tus/server with its file store on a free port: `node tus_server.mjs FOLDER [MAX_BYTES] [--sync]`. One line of
// JSON says where. It ends with its standard input, so that it never outlives the test that started it. With `--sync`
// the answer that ends an upload waits until its bytes and names are on the disk, which the store leaves to the system.
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { FileStore } from '@tus/file-store';
import { Server } from '@tus/server';

async function sync(path) {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

const options = process.argv.slice(2);
const [directory, maxSize] = options.filter((option) => option !== '--sync');
const finish = async (_request, upload) => {
  await sync(join(directory, upload.id));
  await sync(directory);
  return {};
};
const server = new Server({
  path: '/files',
  relativeLocation: true,
  datastore: new FileStore({ directory, expirationPeriodInMilliseconds: 3_600_000 }),
  onUploadFinish: options.includes('--sync') ? finish : undefined,
  maxSize: maxSize ? Number(maxSize) : undefined,
});
const listening = server.listen({ host: '127.0.0.1', port: 0 }, () => {
  console.log(JSON.stringify({ listening: listening.address().port }));
});
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
