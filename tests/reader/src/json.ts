// JSON as the documents of the format have it: strict, with whole numbers as bigint, and no key twice in an object.
// The parser of the language would round a number of 64 bits and silently take the last of two equal keys.

export type Json = null | boolean | bigint | number | string | Json[] | Map<string, Json>;

const BLANKS = new Set([" ", "\t", "\n", "\r"]);
const ESCAPES: Record<string, string> = {
  '"': '"', "\\": "\\", "/": "/", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t",
};
const MOST_DEPTH = 100;

export function parse(bytes: Uint8Array): Json {
  const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  return new Parser(text).document();
}

class Parser {
  private at = 0;

  constructor(private readonly text: string) {}

  document(): Json {
    const value = this.value(0);
    this.blanks();
    if (this.at !== this.text.length) throw new SyntaxError("something stands behind the document");
    return value;
  }

  private blanks(): void {
    while (BLANKS.has(this.text[this.at] ?? "")) this.at += 1;
  }

  private expect(word: string): void {
    if (!this.text.startsWith(word, this.at)) throw new SyntaxError(`no ${word} at ${this.at}`);
    this.at += word.length;
  }

  private value(depth: number): Json {
    if (depth > MOST_DEPTH) throw new SyntaxError("nested too deeply");
    this.blanks();
    switch (this.text[this.at]) {
      case "{": return this.object(depth);
      case "[": return this.list(depth);
      case '"': return this.string();
      case "t": this.expect("true"); return true;
      case "f": this.expect("false"); return false;
      case "n": this.expect("null"); return null;
      default: return this.number();
    }
  }

  private number(): bigint | number {
    const pattern = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y;
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text);
    if (found === null) throw new SyntaxError(`no value at ${this.at}`);
    this.at = pattern.lastIndex;
    return found[1] === undefined && found[2] === undefined ? BigInt(found[0]) : Number(found[0]);
  }

  private string(): string {
    this.expect('"');
    let text = "";
    for (;;) {
      const letter = this.text[this.at];
      if (letter === undefined || letter < " ") throw new SyntaxError("a text does not end");
      this.at += 1;
      if (letter === '"') break;
      if (letter !== "\\") {
        text += letter;
        continue;
      }
      const escape = this.text[this.at] ?? "";
      this.at += 1;
      if (escape === "u") {
        const digits = this.text.slice(this.at, this.at + 4);
        if (!/^[0-9a-fA-F]{4}$/.test(digits)) throw new SyntaxError("an escape is cut off");
        text += String.fromCharCode(parseInt(digits, 16));
        this.at += 4;
      } else {
        const meant = ESCAPES[escape];
        if (meant === undefined) throw new SyntaxError(`no such escape: ${escape}`);
        text += meant;
      }
    }
    // Half of a surrogate pair is no character.
    if (/\p{Surrogate}/u.test(text)) throw new SyntaxError("half of a surrogate pair");
    return text;
  }

  private list(depth: number): Json[] {
    const list: Json[] = [];
    this.expect("[");
    this.blanks();
    if (this.text[this.at] === "]") {
      this.at += 1;
      return list;
    }
    for (;;) {
      list.push(this.value(depth + 1));
      this.blanks();
      if (this.text[this.at] === "]") break;
      this.expect(",");
    }
    this.at += 1;
    return list;
  }

  private object(depth: number): Map<string, Json> {
    const map = new Map<string, Json>();
    this.expect("{");
    this.blanks();
    if (this.text[this.at] === "}") {
      this.at += 1;
      return map;
    }
    for (;;) {
      this.blanks();
      const key = this.string();
      if (map.has(key)) throw new SyntaxError(`${key} stands twice`);
      this.blanks();
      this.expect(":");
      map.set(key, this.value(depth + 1));
      this.blanks();
      if (this.text[this.at] === "}") break;
      this.expect(",");
    }
    this.at += 1;
    return map;
  }
}
