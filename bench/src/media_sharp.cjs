// Makes two small pictures of each file with sharp, on one processor: at most 2,048 pixels, and of that one 320 pixels high.
// Arguments: the package's folder, where to write, files.
const [, , folder, out, ...files] = process.argv;
const sharp = require(folder);
sharp.concurrency(1);
sharp.cache(false);

async function main() {
  for (const file of files) {
    const screen = await sharp(file)
      .rotate()
      .resize(2048, 2048, { fit: 'inside', withoutEnlargement: true })
      .jpeg({ quality: 82 })
      .toBuffer();
    await sharp(screen).resize(640, 320, { fit: 'inside' }).webp({ quality: 74, effort: 2 }).toFile(`${out}/sharp.webp`);
  }
}

main().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
