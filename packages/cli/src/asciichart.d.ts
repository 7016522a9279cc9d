declare module "asciichart" {
  interface PlotConfig {
    readonly height?: number;
    readonly offset?: number;
    readonly format?: (value: number, row: number) => string;
  }
  const asciichart: { plot(series: readonly number[], config?: PlotConfig): string };
  export default asciichart;
}
