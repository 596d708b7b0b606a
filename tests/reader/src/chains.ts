// The chains of segments, one of each device: what may follow what is known.
import { type Head } from "./documents.js";
import { Refused } from "./refused.js";

/** The heads after one more segment. */
export function extended(known: Head[], next: Head, previous: string | undefined): Head[] {
  const head = known.find((one) => one.writer === next.writer);
  if (next.sequence !== (head?.sequence ?? 0n) + 1n || head?.id !== previous) throw new Refused("RolledBack");
  return head === undefined ? [...known, next] : known.map((one) => (one === head ? next : one));
}

/** Whether heads that are shown could be true for one who knows others. */
export function requireNotBehind(known: Head[], shown: Head[]): void {
  const isKept = (head: Head) => shown.some((one) =>
    one.writer === head.writer
    && (one.sequence > head.sequence || (one.sequence === head.sequence && one.id === head.id)));
  if (!known.every(isKept)) throw new Refused("RolledBack");
}
