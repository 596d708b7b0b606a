declare global {
  namespace App {
    interface PageState {
      /** The picture that is open over the page below (shallow routing): its id. */
      photo?: string;
    }
  }
}

export {};
