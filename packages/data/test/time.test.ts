import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { addSteps, detectFrequency, formatTime, guessSeason, parseTime } from "../src/index.ts";

const times = (...texts: string[]) => Float64Array.from(texts, (text) => parseTime(text) ?? Number.NaN);

describe("parseTime", () => {
  test.each([
    ["2011-01-01", "2011-01-01T00:00:00.000Z"],
    ["2011-01-01 05:00", "2011-01-01T05:00:00.000Z"],
    ["2011-01-01T05:00:07.25Z", "2011-01-01T05:00:07.250Z"],
    ["2011-01-01T05:00+02:00", "2011-01-01T03:00:00.000Z"],
    ["2011/1/5 7:30", "2011-01-05T07:30:00.000Z"],
    ["2011-02", "2011-02-01T00:00:00.000Z"],
    ["2011-Q3", "2011-07-01T00:00:00.000Z"],
    ["2011", "2011-01-01T00:00:00.000Z"],
    ["20110131", "2011-01-31T00:00:00.000Z"],
    ["1293840000", "2011-01-01T00:00:00.000Z"],
    ["1293840000000", "2011-01-01T00:00:00.000Z"],
  ])("%s", (text, iso) => expect(new Date(parseTime(text) as number).toISOString()).toBe(iso));
  test.each(["2011-02-29", "2011-13-01", "2011-01-01 24:00", "01/05/2011", "noon", "17", "", "99999999999999999999"])(
    "%j is no time",
    (text) => expect(parseTime(text)).toBeUndefined(),
  );
  test("reads what formatTime writes", () =>
    fc.assert(
      fc.property(
        fc.date({ min: new Date(0), max: new Date("2999-12-31"), noInvalidDate: true }),
        (date) => parseTime(formatTime(date.getTime())) === date.getTime(),
      ),
      { seed: 1 },
    ));
});

describe("detectFrequency", () => {
  test.each([
    ["second", ["2011-01-01 00:00:00", "2011-01-01 00:00:01", "2011-01-01 00:00:02"], { unit: "second", step: 1 }, 60],
    [
      "15 minutes",
      ["2011-01-01 00:00", "2011-01-01 00:15", "2011-01-01 00:30", "2011-01-01 01:00"],
      { unit: "minute", step: 15 },
      96,
    ],
    ["hour", ["2011-01-01 00:00", "2011-01-01 01:00"], { unit: "hour", step: 1 }, 24],
    ["day", ["2011-02-27", "2011-02-28", "2011-03-01", "2011-03-04"], { unit: "day", step: 1 }, 7],
    ["week", ["2011-01-01", "2011-01-08", "2011-01-15"], { unit: "week", step: 1 }, 52],
    ["month", ["2011-01-01", "2011-02-01", "2011-03-01", "2011-05-01"], { unit: "month", step: 1 }, 12],
    ["month from the 30th", ["2011-01-30", "2011-02-28", "2011-03-30"], { unit: "month", step: 1 }, 12],
    ["month end", ["2011-02-28", "2011-03-31", "2011-04-30"], { unit: "month", step: 1, monthEnd: true }, 12],
    ["quarter", ["2011-01-01", "2011-04-01", "2011-07-01"], { unit: "quarter", step: 1 }, 4],
    ["year", ["2011", "2012", "2013"], { unit: "year", step: 1 }, 1],
    ["28 days", ["2011-02-01", "2011-03-01", "2011-03-29", "2011-04-26"], { unit: "week", step: 4 }, 13],
  ] as const)("%s", (_, texts, frequency, season) => {
    expect(detectFrequency(times(...texts))).toEqual(frequency);
    expect(guessSeason(frequency)).toBe(season);
  });
});

describe("addSteps", () => {
  const add = (from: string, unit: "month" | "day", count: number, monthEnd = false) =>
    formatTime(addSteps(parseTime(from) as number, { unit, step: 1, monthEnd }, count));
  test("a month from the 31st ends on the month's last day", () =>
    expect(add("2011-01-31", "month", 1)).toBe("2011-02-28"));
  test("a leap year has a 29 February", () => expect(add("2012-01-31", "month", 1)).toBe("2012-02-29"));
  test("month ends stay month ends", () => expect(add("2011-02-28", "month", 1, true)).toBe("2011-03-31"));
  test("the time of day stays", () => expect(add("2011-12-15 05:30", "month", 1)).toBe("2012-01-15 05:30"));
  test("backwards over a year", () => expect(add("2011-01-15", "month", -2)).toBe("2010-11-15"));
  test("days over a month", () => expect(add("2011-02-28", "day", 1)).toBe("2011-03-01"));
});
