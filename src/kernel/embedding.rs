//! The embedding's gradient, in a fixed order of summation.

use super::call::{Address, Call, Element, Program};

/// Positions that one block adds up at most.
const PIECE_LEN: usize = 128;

/// Positions `order[begin..end]` of one id; `slot` is a row of the partial sums, or -1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Piece {
    begin: i32,
    end: i32,
    id: i32,
    slot: i32,
}

/// The slots of an id that has several pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Pieces {
    begin: i32,
    end: i32,
    id: i32,
}

/// Which positions are added to which row of the table.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// Positions sorted by id, in order.
    pub order: Vec<i32>,
    /// Runs of it.
    pub pieces: Vec<Piece>,
    /// Ids that have several.
    pub several: Vec<Pieces>,
    /// Rows of partial sums that are needed.
    pub n_slots: usize,
}

impl Order {
    /// Sorts the positions of `ids`; at most 2^31 of them.
    pub fn of(ids: &[u32]) -> Self {
        let mut order: Vec<u32> =
            (0..u32::try_from(ids.len()).expect("a row is far shorter than 2^32")).collect();
        order.sort_by_key(|&at| (ids[at as usize], at));
        let mut made = Self::default();
        let mut begin = 0;
        for run in order.chunk_by(|&a, &b| ids[a as usize] == ids[b as usize]) {
            let id = ids[run[0] as usize].cast_signed();
            let first_slot = made.n_slots;
            for piece in run.chunks(PIECE_LEN) {
                let alone = run.len() <= PIECE_LEN;
                let slot = if alone { -1 } else { made.n_slots as i32 };
                made.n_slots += usize::from(!alone);
                made.pieces.push(Piece {
                    begin,
                    end: begin + piece.len() as i32,
                    id,
                    slot,
                });
                begin += piece.len() as i32;
            }
            if made.n_slots > first_slot {
                made.several.push(Pieces {
                    begin: first_slot as i32,
                    end: made.n_slots as i32,
                    id,
                });
            }
        }
        made.order = order.into_iter().map(u32::cast_signed).collect();
        made
    }
}

/// `table: [vocab, width]` f32 `+= dx: [n, width]` by id, in up to two launches. `partial: [n_slots, width]` f32 is
/// working space; `order`, `pieces`, `several` are an [`Order`] on the machine.
pub fn add(
    element: Element,
    width: usize,
    made: &Order,
    dx: Address,
    [order, pieces, several]: [Address; 3],
    table: Address,
    partial: Address,
) -> Vec<Call> {
    let columns = width.div_ceil(256);
    let program = Program::Elements(element);
    let pieces = Call::new(program, "embedding_pieces", [made.pieces.len(), columns])
        .address(dx)
        .address(order)
        .address(pieces)
        .address(table)
        .address(partial)
        .int(width);
    let sums = || {
        Call::new(program, "embedding_sums", [made.several.len(), columns])
            .address(partial)
            .address(several)
            .address(table)
            .int(width)
    };
    let mut calls = vec![pieces];
    if !made.several.is_empty() {
        calls.push(sums());
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frequent_id_is_cut_into_pieces_and_a_rare_one_is_not() {
        let mut ids = vec![5; 300];
        ids[7] = 2;
        let made = Order::of(&ids);
        assert_eq!(
            made.pieces[0],
            Piece {
                begin: 0,
                end: 1,
                id: 2,
                slot: -1
            }
        );
        assert_eq!(made.order[0], 7);
        assert_eq!(made.pieces.len(), 1 + 3);
        assert_eq!(
            made.several,
            [Pieces {
                begin: 0,
                end: 3,
                id: 5
            }]
        );
        assert_eq!(made.n_slots, 3);
        assert_eq!(made.pieces[3].end, 300);
    }
}
