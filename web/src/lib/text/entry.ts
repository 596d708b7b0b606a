/** One text of the catalogue; two if it says a number. */
export type Entry = string | { one: string; other: string };

export const plural = (one: string, other: string) => ({ one, other });
