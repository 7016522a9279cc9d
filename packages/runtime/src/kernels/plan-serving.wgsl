// The i-th assignment to be served, as an index in token order.
fn assignment(i: u32) -> u32 {
  if (params.has_order == 2u) { return order[i]; }
  var turn = i / params.top_k;
  var choice = i % params.top_k;
  if (params.by_choice == 1u) {
    turn = i % params.tokens;
    choice = i / params.tokens;
  }
  if (params.has_order == 1u) { turn = order[turn]; }
  return turn * params.top_k + choice;
}
