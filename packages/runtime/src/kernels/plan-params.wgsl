  // What both ways to build a plan are told.
  tokens: u32,
  top_k: u32,
  groups: u32,         // experts * routing_groups
  routing_groups: u32,
  group_tokens: u32,   // consecutive tokens that make a routing group
  capacity: u32,       // rows a group may have
  by_choice: u32,      // 1: all first choices before all second ones; 0: token by token
  has_order: u32,      // 2: assignments, 1: tokens are served as `order` has them; 0: as they come
  has_mask: u32,       // 1: tokens with mask 0 are not routed
