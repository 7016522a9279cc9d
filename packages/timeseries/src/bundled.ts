/**
 * The checkpoint that comes with the package: a small general forecaster, trained on synthetic and permissively licensed series. See
 * pretrained/general/README.md for what made it and what it reaches.
 */
export const bundledModelUrl = new URL("../pretrained/general", import.meta.url);
