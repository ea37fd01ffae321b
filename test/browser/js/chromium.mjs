// Unpacks the Chromium of @sparticuz/chromium and its libraries, and prints where they are.
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import chromium, { inflate } from "@sparticuz/chromium";

const packed = join(dirname(fileURLToPath(import.meta.resolve("@sparticuz/chromium"))), "..", "bin");
await inflate(join(packed, "al2023.tar.br"));
console.log(await chromium.executablePath());
console.log(join(tmpdir(), "al2023", "lib"));
