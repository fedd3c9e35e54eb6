import Foundation
import Store
import StoreConformance
import Testing

@Suite("every store conforms")
struct ConformanceTests {
    @Test("in memory", arguments: ConformanceCase.all)
    func memory(_ conformance: ConformanceCase) async throws {
        try await conformance.run(MemoryStore())
    }

    @Test("SQLite", arguments: ConformanceCase.all)
    func sqlite(_ conformance: ConformanceCase) async throws {
        let fixture = try StoreFixture()
        let store = try fixture.open()
        try await conformance.run(store)
        try await store.close()
    }

    @Test("sealed", arguments: ConformanceCase.all)
    func sealed(_ conformance: ConformanceCase) async throws {
        let fixture = try StoreFixture()
        let store = try await SealedStore.open(fixture.open(), keyFile: fixture.key, logger: quiet)
        try await conformance.run(store)
        try await store.close()
    }
}
