/** An answer of the server that a page shows, and asks for again. */
export class Loaded<Answer> {
  value = $state.raw<Answer>();
  error = $state<unknown>();
  busy = $state(false);

  constructor(private readonly ask: () => Promise<Answer>) {
    void this.load();
  }

  /** Asks anew; an old answer stays if none comes. */
  load = async (): Promise<void> => {
    this.busy = true;
    this.error = undefined;
    try {
      this.value = await this.ask();
    } catch (cause) {
      this.error = cause;
    } finally {
      this.busy = false;
    }
  };
}
