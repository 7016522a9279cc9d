import { testDevice } from "@moebius/testing";
import { describe } from "vitest";
import { describeGemm } from "./gemm-cases.ts";

const device = await testDevice();

describe("gemm without subgroups", () => describeGemm(device, 0));
