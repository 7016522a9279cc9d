// Assigns each row to a column so that no column takes more than its share, ceil(rows / columns), and the sum of the scores is the
// largest possible. Rows come one by one; a row enters along the cheapest chain of moves (row to column a, one of a's rows to b, ...)
// that ends in a column with room: successive shortest paths, which keep the assignment optimal. A workgroup owns a chunk of rows
// and sees no others. Called by kernels/balanced-assignment.ts.
struct Params {
  rows: u32,
  columns: u32,  // at most COLUMNS
  chunk: u32,    // rows of a workgroup
  room: u32,     // most rows a column may get in a chunk: ceil(chunk / columns)
  has_mask: u32, // 1: rows with mask 0 are left out
}
@group(0) @binding(0) var<storage, read> scores: array<f32>;                // [rows, columns]
@group(0) @binding(1) var<storage, read> mask: array<f32>;                  // [rows]
@group(0) @binding(2) var<storage, read_write> assigned: array<u32>;        // [rows]
@group(0) @binding(3) var<storage, read_write> members: array<u32>;         // [chunks, columns, room] the rows of each column
// Per chunk and pair of columns (from, to): the least score lost by moving a row, its place in members[from], and the column before
// `to` on the cheapest chain of at most `from` moves.
@group(0) @binding(4) var<storage, read_write> losses: array<f32>;          // [chunks, columns, columns]
@group(0) @binding(5) var<storage, read_write> movers: array<u32>;          // [chunks, columns, columns]
@group(0) @binding(6) var<storage, read_write> before: array<u32>;          // [chunks, columns, columns]

const NONE = 0xffffffffu;
const FAR = 0x1p+120f;

var<workgroup> counts: array<u32, COLUMNS>;
var<workgroup> cost: array<f32, COLUMNS>;      // of the cheapest chain to each column so far
var<workgroup> next_cost: array<f32, COLUMNS>;
var<workgroup> chain: array<u32, COLUMNS>;     // columns from where the row enters to where there is room
var<workgroup> chain_length: u32;
var<workgroup> limit: u32;
var<workgroup> improved: atomic<u32>;
var<workgroup> goes_on: u32;

// The cheapest chain's columns, last first in `before`; a column met twice closes a loop, which is cut.
fn trace_chain(base: u32, last_round: u32) {
  var best = NONE;
  for (var c = 0u; c < params.columns; c++) {
    if (counts[c] < limit && (best == NONE || cost[c] < cost[best])) { best = c; }
  }
  // Walk back to the column where the row enters, then turn the order round.
  var length = 0u;
  var at = best;
  var round = last_round;
  loop {
    var seen = NONE;
    for (var i = 0u; i < length; i++) { if (chain[i] == at) { seen = i; } }
    if (seen != NONE) { length = seen; }
    chain[length] = at;
    length++;
    let previous = before[base + round * params.columns + at];
    if (previous != NONE) { at = previous; }
    if (round == 0u) { break; }
    round--;
  }
  for (var i = 0u; i < length / 2u; i++) {
    let swapped = chain[i];
    chain[i] = chain[length - 1u - i];
    chain[length - 1u - i] = swapped;
  }
  chain_length = length;
}

// Moves rows along the chain, last link first, so that places stay valid.
fn apply_chain(base: u32, rows_of: u32, row: u32) {
  for (var i = chain_length - 1u; i > 0u; i--) {
    let a = chain[i - 1u];
    let b = chain[i];
    let place = rows_of + a * params.room + movers[base + a * params.columns + b];
    let mover = members[place];
    if (i == chain_length - 1u) {
      members[rows_of + b * params.room + counts[b]] = mover;
      counts[b]++;
    } else {
      members[rows_of + b * params.room + movers[base + b * params.columns + chain[i + 1u]]] = mover;
    }
    assigned[mover] = b;
  }
  let first = chain[0];
  if (chain_length == 1u) {
    members[rows_of + first * params.room + counts[first]] = row;
    counts[first]++;
  } else {
    members[rows_of + first * params.room + movers[base + first * params.columns + chain[1]]] = row;
  }
  assigned[row] = first;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let columns = params.columns;
  let base = group.x * columns * columns;
  let rows_of = group.x * columns * params.room;
  let begin = group.x * params.chunk;
  let end = min(begin + params.chunk, params.rows);
  for (var pair = thread; pair < columns * columns; pair += THREADS) {
    losses[base + pair] = FAR;
    movers[base + pair] = 0u;
  }
  for (var c = thread; c < columns; c += THREADS) { counts[c] = 0u; }
  if (thread == 0u) {
    var real = 0u;
    for (var row = begin; row < end; row++) { real += select(1u, 0u, params.has_mask == 1u && mask[row] == 0.0); }
    limit = (real + columns - 1u) / columns;
  }
  storageBarrier();
  workgroupBarrier();

  for (var row = begin; row < end; row++) {
    if (params.has_mask == 1u && mask[row] == 0.0) {
      if (thread == 0u) { assigned[row] = NONE; }
      continue;
    }
    // Chains of no move, one move, and so on, while a longer one is cheaper.
    for (var c = thread; c < columns; c += THREADS) {
      cost[c] = -scores[row * columns + c];
      before[base + c] = NONE;
    }
    if (thread == 0u) { goes_on = 1u; }
    workgroupBarrier();
    var round = 0u;
    while (workgroupUniformLoad(&goes_on) == 1u && round + 1u < columns) {
      round++;
      if (thread == 0u) { atomicStore(&improved, 0u); }
      workgroupBarrier();
      for (var c = thread; c < columns; c += THREADS) {
        var least = cost[c];
        var from_column = NONE;
        for (var a = 0u; a < columns; a++) {
          let candidate = cost[a] + losses[base + a * columns + c];
          if (candidate < least) {
            least = candidate;
            from_column = a;
          }
        }
        next_cost[c] = least;
        before[base + round * columns + c] = from_column;
        if (from_column != NONE) { atomicStore(&improved, 1u); }
      }
      workgroupBarrier();
      for (var c = thread; c < columns; c += THREADS) { cost[c] = next_cost[c]; }
      if (thread == 0u) { goes_on = atomicLoad(&improved); }
    }
    storageBarrier();
    workgroupBarrier();
    if (thread == 0u) {
      trace_chain(base, round);
      apply_chain(base, rows_of, row);
    }
    storageBarrier();
    workgroupBarrier();
    // Columns on the chain have other rows now.
    for (var i = thread; i < chain_length * columns; i += THREADS) {
      let a = chain[i / columns];
      let b = i % columns;
      var least = FAR;
      var place = 0u;
      for (var k = 0u; k < counts[a]; k++) {
        let member = members[rows_of + a * params.room + k];
        let lost = scores[member * columns + a] - scores[member * columns + b];
        if (lost < least) {
          least = lost;
          place = k;
        }
      }
      losses[base + a * columns + b] = select(least, FAR, a == b);
      movers[base + a * columns + b] = place;
    }
    storageBarrier();
    workgroupBarrier();
  }
}
