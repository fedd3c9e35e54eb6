/// A binary heap of record numbers by deadline, in which a record can be moved
/// or taken out in O(log n).
struct DeadlineHeap: Sendable {
    private var items: [(deadline: Int64, record: Int)] = []
    /// Where each record stands in `items`; -1 for nowhere.
    private var positions: [Int32] = []

    var count: Int { items.count }
    var first: (deadline: Int64, record: Int)? { items.first }
    /// In no order.
    var records: [Int] { items.map(\.record) }

    func contains(_ record: Int) -> Bool { record < positions.count && positions[record] >= 0 }

    mutating func set(_ record: Int, deadline: Int64) {
        while positions.count <= record { positions.append(-1) }
        if positions[record] < 0 {
            items.append((deadline, record))
            positions[record] = Int32(items.count - 1)
            siftUp(items.count - 1)
        } else {
            let position = Int(positions[record])
            items[position].deadline = deadline
            siftUp(position)
            siftDown(Int(positions[record]))
        }
    }

    mutating func remove(_ record: Int) {
        guard record < positions.count, positions[record] >= 0 else { return }
        let position = Int(positions[record])
        positions[record] = -1
        let moved = items.removeLast()
        guard position < items.count else { return }
        items[position] = moved
        positions[moved.record] = Int32(position)
        siftUp(position)
        siftDown(Int(positions[moved.record]))
    }

    /// Equal deadlines go by record number, so that a run can be replayed.
    private func precedes(_ left: Int, _ right: Int) -> Bool {
        (items[left].deadline, items[left].record) < (items[right].deadline, items[right].record)
    }

    private mutating func siftUp(_ start: Int) {
        var child = start
        while child > 0, precedes(child, (child - 1) / 2) {
            swap(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    private mutating func siftDown(_ start: Int) {
        var parent = start
        while true {
            var least = parent
            let left = 2 * parent + 1
            if left < items.count, precedes(left, least) { least = left }
            if left + 1 < items.count, precedes(left + 1, least) { least = left + 1 }
            if least == parent { return }
            swap(parent, least)
            parent = least
        }
    }

    private mutating func swap(_ left: Int, _ right: Int) {
        items.swapAt(left, right)
        positions[items[left].record] = Int32(left)
        positions[items[right].record] = Int32(right)
    }
}
