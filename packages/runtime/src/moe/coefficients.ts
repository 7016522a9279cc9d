/**
 * What papers multiply their losses by, to begin with: the losses themselves are unscaled, so that they can be read in logs and compared.
 * A published checkpoint's config.json says its own.
 */
export const LOSS_COEFFICIENTS = {
  /** balanceLoss of GShard, Switch and GLaM (Fedus et al. 2021, arXiv:2101.03961, section 2.2); of Dynamic MoE, too. */
  balance: 1e-2,
  /** zLoss (Zoph et al. 2022, arXiv:2202.08906, section 3.2). */
  z: 1e-3,
  /** importanceLoss and loadLoss of V-MoE, half of it each (Riquelme et al. 2021, arXiv:2106.05974, appendix A). */
  importanceAndLoad: 1e-2,
  /** sequenceBalanceLoss (Dai et al. 2024, arXiv:2401.06066: 16B). */
  sequenceBalance: 1e-3,
  /** deviceBalanceLoss (the same: 145B). */
  deviceBalance: 0.05,
  /** entropyLoss of top-p routing (Huang et al. 2024, arXiv:2403.07652). */
  entropy: 1e-4,
  /** nullBalanceLoss (Zeng et al. 2024, arXiv:2406.13233). */
  nullBalance: 1e-3,
  /** heterogeneousBalanceLoss (Jin et al. 2024, arXiv:2410.07348). */
  heterogeneousBalance: 1e-2,
  /** denseToSparseLoss; the reference leaves it to the run. */
  denseToSparse: 1e-2,
  /** consistencyLoss (Zuo et al. 2021, arXiv:2110.04260: the code's default; 5 on IWSLT14). */
  consistency: 1,
  /** selectorEntropy, the smallest published; up to 100 with the data set (Ibrahim et al. 2023, arXiv:2306.02824). */
  selectorEntropy: 0.05,
  /** permutationEntropy (the same). */
  permutationEntropy: 1e-4,
  /** uniformityLoss + ambiguityLoss (Park et al. 2024, arXiv:2412.04139). */
  monet: 1e-3,
} as const;
