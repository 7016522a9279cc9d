/** A mistake in what the user gave (options, files, values). `run` prints its message without a stack and exits with code 2. */
export class UserError extends Error {
  readonly userFacing: boolean = true;
  override get name(): string {
    return this.constructor.name;
  }
}

/** True for every error whose message is meant for the user: those of our packages carry `userFacing: true`. */
export const isUserFacing = (error: unknown): error is Error =>
  error instanceof Error && "userFacing" in error && error.userFacing === true;
