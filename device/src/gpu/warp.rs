//! Exchange between the lanes of a warp. All lanes must take part.

/// A mask of all lanes.
const ALL: u32 = u32::MAX;

unsafe extern "C" {
    #[cfg_attr(target_arch = "nvptx64", link_name = "llvm.nvvm.shfl.sync.bfly.i32")]
    fn shuffle_bfly(mask: u32, value: u32, lane_mask: u32, clamp: u32) -> u32;
    #[cfg_attr(target_arch = "nvptx64", link_name = "llvm.nvvm.shfl.sync.idx.i32")]
    fn shuffle_idx(mask: u32, value: u32, lane: u32, clamp: u32) -> u32;
    #[cfg_attr(target_arch = "nvptx64", link_name = "llvm.nvvm.vote.ballot.sync")]
    fn vote_ballot(mask: u32, predicate: bool) -> u32;
}

/// The value of the lane whose number differs by the bits of `lane_mask`.
#[inline(always)]
pub fn warp_shuffle_xor(value: u32, lane_mask: u32) -> u32 {
    // SAFETY: all lanes take part.
    unsafe { shuffle_bfly(ALL, value, lane_mask, 31) }
}

/// The value of lane `lane`.
#[inline(always)]
pub fn warp_shuffle_idx(value: u32, lane: u32) -> u32 {
    // SAFETY: all lanes take part.
    unsafe { shuffle_idx(ALL, value, lane, 31) }
}

/// A bit for each lane: its predicate.
#[inline(always)]
pub fn warp_vote_ballot(predicate: bool) -> u32 {
    // SAFETY: all lanes take part.
    unsafe { vote_ballot(ALL, predicate) }
}
