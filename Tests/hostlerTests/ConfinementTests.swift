import Foundation
import Model
import Testing

@testable import hostler

@Suite("What the server gives up")
struct ConfinementTests {
    private let plain = Confinement(entersNamespaces: false)
    private let lab = Confinement(entersNamespaces: true)
    private let root = Confinement.User(user: 0, group: 0)
    private let hostler = Confinement.User(user: 998, group: 997)
    private static let three: UInt64 = 0x3400
    private static let all: UInt64 = 0x1ff_ffff_ffff

    private func powers(
        user: UInt32, permitted: UInt64 = three, bounding: UInt64 = three, gainsNothing: Bool = true, isRootPowerless: Bool = false
    ) -> Confinement.Powers {
        Confinement.Powers(
            user: user, permitted: permitted, bounding: bounding, gainsNothing: gainsNothing, isRootPowerless: isRootPowerless)
    }

    @Test("is all but three capabilities, and the one that enters namespaces where one is configured")
    func kept() {
        #expect(plain.kept == Self.three)
        #expect(lab.kept == Self.three | 1 << 21)
    }

    @Test("is nothing under the unit, which gave it no more")
    func underUnit() {
        #expect(plain.change(powers(user: 998), stateOwner: hostler) == nil)
        #expect(lab.change(powers(user: 998), stateOwner: hostler) == nil)
    }

    @Test("is root itself: it becomes the owner of its state, or a user 0 without powers")
    func startedByRoot() {
        let powers = powers(user: 0, permitted: Self.all, bounding: Self.all, gainsNothing: false)
        #expect(plain.change(powers, stateOwner: hostler) == hostler)
        #expect(plain.change(powers, stateOwner: root) == root)
        let given = self.powers(user: 0, isRootPowerless: true)
        #expect(plain.change(given, stateOwner: root) == nil)
        // Its capabilities are few, and yet it is not the one that the state belongs to.
        #expect(plain.change(given, stateOwner: hostler) == hostler)
        // User 0 with powers gets them back with the next program that it starts.
        #expect(plain.change(self.powers(user: 0), stateOwner: root) == root)
    }

    @Test("is each thing that the unit of an operator left: a capability, a bounding set that can be cut, a way to more")
    func remains() {
        let own = Confinement.User(user: 998, group: getegid())
        #expect(plain.change(powers(user: 998, permitted: Self.three | 1 << 21), stateOwner: hostler) == own)
        #expect(lab.change(powers(user: 998, permitted: Self.three | 1 << 21), stateOwner: hostler) == nil)
        #expect(plain.change(powers(user: 998, gainsNothing: false), stateOwner: hostler) == own)
        #expect(plain.change(powers(user: 998, permitted: Self.three | 1 << 8, bounding: Self.all), stateOwner: hostler) == own)
        // Who may not cut the bounding set starts nothing anew for its sake.
        #expect(plain.change(powers(user: 998, permitted: 0, bounding: Self.all), stateOwner: hostler) == nil)
    }

    @Test("a configuration that is there and cannot be read is an error, not an empty one")
    func unreadableConfiguration() throws {
        // A folder cannot be read by root either.
        let problem = #expect(throws: Problem.self) { try ServerConfiguration.load("/tmp") }
        #expect(problem?.code == "config-unreadable")
        let missing = #expect(throws: Problem.self) { try ServerConfiguration.load("/nowhere/hostler.yaml") }
        #expect(missing?.code == "config-missing")
    }
}
