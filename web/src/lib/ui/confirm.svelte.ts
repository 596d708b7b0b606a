/** Asks before something that cannot be taken back. */

export interface Question {
  title: string;
  text: string;
  confirm: string;
  danger: boolean;
  answer: (yes: boolean) => void;
}

let open = $state.raw<Question | undefined>();

export function openQuestion(): Question | undefined {
  return open;
}

/** Answers whether the person said yes. */
export function ask(question: Omit<Question, 'answer' | 'danger'> & { danger?: boolean }): Promise<boolean> {
  return new Promise((resolve) => {
    open = {
      danger: true,
      ...question,
      answer: (yes) => {
        open = undefined;
        resolve(yes);
      }
    };
  });
}
