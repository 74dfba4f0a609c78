//! The work of attention as a list of tiles.

/// Rows of a tile of queries.
pub const QUERY_TILE: u32 = 128;
/// Rows of a tile of keys in the backward pass.
pub const KEY_TILE: u32 = 128;

/// The rows from `row` on, at most a tile of them, of the segment that is rows `begin..end`; as the kernels read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Tile {
    /// First row of the tile.
    pub row: i32,
    /// First row of the segment.
    pub begin: i32,
    /// First row after the segment.
    pub end: i32,
}

/// Cuts segments into tiles of `size` rows, the longest segments first: a tile costs what its segment is long,
/// and the cheap ones fill the gaps at the end. `cu_seqlens` starts at 0 and increases.
pub fn tiles(cu_seqlens: &[u32], size: u32) -> Vec<Tile> {
    let mut segments: Vec<(u32, u32)> = cu_seqlens.windows(2).map(|pair| (pair[0], pair[1])).collect();
    segments.sort_by_key(|(begin, end)| std::cmp::Reverse(end - begin));
    let tiles = segments.iter().flat_map(|&(begin, end)| {
        (begin..end).step_by(size as usize).map(move |row| Tile {
            row: row.cast_signed(),
            begin: begin.cast_signed(),
            end: end.cast_signed(),
        })
    });
    tiles.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_every_row_once_and_the_longest_segment_comes_first() {
        let tiles = tiles(&[0, 1, 300, 428], 128);
        assert_eq!(
            tiles[0],
            Tile {
                row: 1,
                begin: 1,
                end: 300
            }
        );
        let mut rows: Vec<i32> = tiles
            .iter()
            .flat_map(|t| t.row..(t.row + 128).min(t.end))
            .collect();
        rows.sort_unstable();
        assert_eq!(rows, (0..428).collect::<Vec<_>>());
    }
}
