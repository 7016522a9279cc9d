/**
 * Marks a promise as handled. Reads are started early and awaited later: when another of them fails first, the rejection of
 * this one must not end the process in between. Whoever awaits it still gets the error.
 */
export function handled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}
