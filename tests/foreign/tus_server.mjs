// Runs @tus/server with its file store on a free port: `node tus_server.mjs FOLDER [MAX_BYTES]`. One line of JSON
// says where. It ends with its standard input, so that it never outlives the test that started it.
import { FileStore } from '@tus/file-store';
import { Server } from '@tus/server';

const [directory, maxSize] = process.argv.slice(2);
const server = new Server({
  path: '/files',
  relativeLocation: true,
  datastore: new FileStore({ directory, expirationPeriodInMilliseconds: 3_600_000 }),
  maxSize: maxSize ? Number(maxSize) : undefined,
});
const listening = server.listen({ host: '127.0.0.1', port: 0 }, () => {
  console.log(JSON.stringify({ listening: listening.address().port }));
});
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
