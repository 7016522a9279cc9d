/** A page has no folder beside the repository. */
export const hasShared = false;

export function sharedPath(name: string): string {
  throw new Error(`a page has no ../shared/${name}: skip the test unless hasShared`);
}
