// Why an object is refused, by the names that the vectors use.
export type Why =
  | "Truncated" | "TooLong" | "Unknown" | "WrongKind" | "UnknownEpoch" | "Forged" | "WrongId" | "BadPadding"
  | "BadContents" | "WrongSecret" | "BadCost" | "RolledBack";

export class Refused extends Error {
  constructor(readonly why: Why) {
    super(why);
  }
}
