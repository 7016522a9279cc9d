/** The embedded software adapter is there but cannot be put to use; the message says why and what helps. */
export class SoftwareAdapterError extends Error {
  override readonly name = "SoftwareAdapterError";
  /** A command line prints the message without a stack trace. */
  readonly userFacing = true;
}
