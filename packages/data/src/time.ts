/** Calendar units of a regular series. */
export type TimeUnit = "second" | "minute" | "hour" | "day" | "week" | "month" | "quarter" | "year";

/** The step between stamps: `step` units, so 15 minutes are `{ unit: "minute", step: 15 }`. */
export interface Frequency {
  readonly unit: TimeUnit;
  readonly step: number;
  /** Stamps on the last day of each month, whatever its length. */
  readonly monthEnd?: boolean;
}

const SECOND_MS = 1000;
const DAY_MS = 86_400_000;

/** Length of the units that have one. */
const UNIT_MS: Partial<Record<TimeUnit, number>> = {
  second: SECOND_MS,
  minute: 60 * SECOND_MS,
  hour: 3600 * SECOND_MS,
  day: DAY_MS,
  week: 7 * DAY_MS,
};

const UNIT_MONTHS: Partial<Record<TimeUnit, number>> = { month: 1, quarter: 3, year: 12 };

/** Months in a step, or 0 for steps of fixed length. */
function stepMonths({ unit, step }: Frequency): number {
  return (UNIT_MONTHS[unit] ?? 0) * step;
}

const ISO =
  /^(\d{4})[-/](\d{1,2})(?:[-/](\d{1,2}))?(?:[T ]+(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?)?\s*(?:(Z|UTC)|([+-])(\d{2}):?(\d{2}))?$/i;
const QUARTER = /^(\d{4})-?Q([1-4])$/i;
const COMPACT = /^(\d{4})(\d{2})(\d{2})$/;
const NUMBER = /^\d{9,}(?:\.\d+)?$/;

/**
 * A time stamp in milliseconds since 1970: ISO dates and times ("2011-01-01", "2011-01-01 05:00", with or without
 * zone), 20110101, 2011-Q1, a year, seconds (9 or 10 digits) or milliseconds since 1970. Times without a zone are taken
 * as UTC.
 * @returns undefined when the text is none of them, or no date of the calendar
 */
export function parseTime(text: string): number | undefined {
  const iso = ISO.exec(text);
  if (iso) {
    const [
      ,
      year,
      month,
      day = "1",
      hour = "0",
      minute = "0",
      second = "0",
      fraction = "0",
      ,
      sign,
      zoneHour = "0",
      zoneMinute = "0",
    ] = iso;
    if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59) return undefined;
    const date = civilDate(Number(year), Number(month), Number(day));
    const clock =
      (Number(hour) * 60 + Number(minute)) * 60_000 +
      Number(second) * SECOND_MS +
      Math.round(Number(`0.${fraction}`) * SECOND_MS);
    const zone = (Number(zoneHour) * 60 + Number(zoneMinute)) * 60_000 * (sign === "-" ? -1 : 1);
    return date === undefined ? undefined : date + clock - zone;
  }
  const quarter = QUARTER.exec(text);
  if (quarter) return civilDate(Number(quarter[1]), Number(quarter[2]) * 3 - 2, 1);
  const compact = COMPACT.exec(text);
  if (compact) return civilDate(Number(compact[1]), Number(compact[2]), Number(compact[3]));
  if (/^[12]\d{3}$/.test(text)) return civilDate(Number(text), 1, 1);
  if (!NUMBER.test(text)) return undefined;
  // 1e11 seconds lie in the year 5138, 1e11 milliseconds in 1973.
  const ms = Number(text) < 1e11 ? Number(text) * SECOND_MS : Number(text);
  return ms <= 8.64e15 ? ms : undefined; // the end of Date's range
}

function civilDate(year: number, month: number, day: number): number | undefined {
  const ms = Date.UTC(year, month - 1, day);
  const date = new Date(ms);
  return date.getUTCMonth() === month - 1 && date.getUTCDate() === day ? ms : undefined;
}

function lastDayOfMonth(year: number, month: number): number {
  return new Date(Date.UTC(year, month + 1, 0)).getUTCDate();
}

function isMonthEnd(ms: number): boolean {
  return new Date(ms + DAY_MS).getUTCDate() === 1;
}

/** `count` steps after `ms`; a day that a month lacks becomes its last (31 January + 1 month = 28 or 29 February). */
export function addSteps(ms: number, frequency: Frequency, count: number): number {
  const months = stepMonths(frequency);
  if (months === 0) return ms + count * frequency.step * (UNIT_MS[frequency.unit] as number);
  const date = new Date(ms);
  const month = date.getUTCFullYear() * 12 + date.getUTCMonth() + months * count;
  const year = Math.floor(month / 12);
  const last = lastDayOfMonth(year, month % 12);
  const day = frequency.monthEnd ? last : Math.min(date.getUTCDate(), last);
  return (
    Date.UTC(year, month % 12, day) + (ms - Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate()))
  );
}

/** Steps from `start` to `ms`, or undefined when `ms` lies between two stamps. */
export function stepsBetween(start: number, ms: number, frequency: Frequency): number | undefined {
  const months = stepMonths(frequency);
  const steps =
    months === 0
      ? (ms - start) / (frequency.step * (UNIT_MS[frequency.unit] as number))
      : monthsBetween(start, ms) / months;
  const nearest = Math.round(steps);
  return addSteps(start, frequency, nearest) === ms ? nearest : undefined;
}

function monthsBetween(from: number, to: number): number {
  const a = new Date(from);
  const b = new Date(to);
  return (b.getUTCFullYear() - a.getUTCFullYear()) * 12 + b.getUTCMonth() - a.getUTCMonth();
}

/**
 * The most common step of increasing stamps; the shorter one of equally common steps. Stamps on the same day of
 * successive months, or on month ends, make months, quarters or years; other steps have a fixed length.
 * @param times ms since 1970, at least 2
 */
export function detectFrequency(times: Float64Array): Frequency {
  const months: number[] = [];
  const fixed: number[] = [];
  let monthEnd = true;
  // From the 29th on, a shorter month's last day stands for a day that it lacks.
  const clamps = new Date(times[0] as number).getUTCDate() > 28;
  for (let i = 1; i < times.length; i++) {
    const before = times[i - 1] as number;
    const after = times[i] as number;
    fixed.push(after - before);
    const ends = Number(isMonthEnd(before)) + Number(isMonthEnd(after));
    const sameDay = new Date(before).getUTCDate() === new Date(after).getUTCDate();
    const sameClock = (after - before) % DAY_MS === 0;
    if (after - before >= 28 * DAY_MS && sameClock && (sameDay || ends === 2 || (clamps && ends === 1)))
      months.push(monthsBetween(before, after));
    monthEnd &&= ends === 2;
  }
  if (months.length * 2 > fixed.length) {
    const count = mostCommon(months);
    const end = monthEnd ? { monthEnd } : {};
    if (count % 12 === 0) return { unit: "year", step: count / 12, ...end };
    return count % 3 === 0 ? { unit: "quarter", step: count / 3, ...end } : { unit: "month", step: count, ...end };
  }
  const ms = mostCommon(fixed);
  const unit =
    (["week", "day", "hour", "minute"] as const).find((each) => ms % (UNIT_MS[each] as number) === 0) ?? "second";
  return { unit, step: ms / (UNIT_MS[unit] as number) };
}

function mostCommon(values: readonly number[]): number {
  const counts = new Map<number, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  let best = Number.NaN;
  let bestCount = 0;
  for (const [value, count] of counts)
    if (count > bestCount || (count === bestCount && value < best)) [best, bestCount] = [value, count];
  return best;
}

/** "hour", "15 minutes": how messages name a step. */
export function describeFrequency({ unit, step }: Frequency): string {
  return step === 1 ? unit : `${step} ${unit}s`;
}

const SEASONS: Record<TimeUnit, number> = {
  second: 60,
  minute: 60,
  hour: 24,
  day: 7,
  week: 52,
  month: 12,
  quarter: 4,
  year: 1,
};

/**
 * Steps in the usual season: 24 hours, 7 days, 52 weeks, 12 months, 4 quarters, 60 minutes or seconds, and a day of
 * steps of 5 minutes and more; 1 when a step is no part of one.
 */
export function guessSeason({ unit, step }: Frequency): number {
  const season = (unit === "minute" && step >= 5 ? 24 * 60 : SEASONS[unit]) / step;
  return Number.isInteger(season) ? season : 1;
}

/**
 * Stamps of a regular series from step `from` on.
 * @returns [count] f64, ms since 1970
 */
export function stampsFrom(start: Date, frequency: Frequency, from: number, count: number): Float64Array {
  return Float64Array.from({ length: count }, (_, i) => addSteps(start.getTime(), frequency, from + i));
}

/** "2011-01-01", "2011-01-01 05:00": a stamp as short as it can be. */
export function formatTime(ms: number): string {
  const iso = new Date(ms).toISOString();
  if (ms % DAY_MS === 0) return iso.slice(0, 10);
  return iso.slice(0, ms % 60_000 === 0 ? 16 : ms % SECOND_MS === 0 ? 19 : 23).replace("T", " ");
}
