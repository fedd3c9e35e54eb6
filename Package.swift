// swift-tools-version: 6.2
import PackageDescription

// The dependency rule (DESIGN.md, ARCHITECTURE.md): imports point down only.
// A target may import only what stands in its own `dependencies` list here;
// Tests/HouseRules holds the sources to it.

let settings: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .swiftLanguageMode(.v6),
    .treatAllWarnings(as: .error),
]

func nio(_ name: String) -> Target.Dependency { .product(name: name, package: "swift-nio") }

let nioCore = nio("NIOCore")
let nioPosix = nio("NIOPosix")
let nioHTTP1 = nio("NIOHTTP1")
let nioWebSocket = nio("NIOWebSocket")
let httpClient: Target.Dependency = .product(name: "AsyncHTTPClient", package: "async-http-client")
let crypto: Target.Dependency = .product(name: "Crypto", package: "swift-crypto")
let cryptoExtras: Target.Dependency = .product(name: "CryptoExtras", package: "swift-crypto")
let certificates: Target.Dependency = .product(name: "X509", package: "swift-certificates")
let asn1: Target.Dependency = .product(name: "SwiftASN1", package: "swift-asn1")
let nioSSL: Target.Dependency = .product(name: "NIOSSL", package: "swift-nio-ssl")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let arguments: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")
let subprocess: Target.Dependency = .product(name: "Subprocess", package: "swift-subprocess")
let yams: Target.Dependency = .product(name: "Yams", package: "Yams")

let package = Package(
    name: "hostler",
    products: [
        .executable(name: "hostler", targets: ["hostler"]),
        .executable(name: "hostler-init", targets: ["hostler-init"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser.git", exact: "1.8.2"),
        .package(url: "https://github.com/apple/swift-nio.git", exact: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-extras.git", exact: "1.35.2"),
        .package(url: "https://github.com/apple/swift-http-types.git", exact: "1.8.0"),
        .package(url: "https://github.com/apple/swift-nio-ssl.git", exact: "2.37.6"),
        .package(url: "https://github.com/apple/swift-log.git", exact: "1.16.2"),
        .package(url: "https://github.com/apple/swift-crypto.git", exact: "4.5.2"),
        .package(url: "https://github.com/apple/swift-certificates.git", exact: "1.21.1"),
        .package(url: "https://github.com/apple/swift-asn1.git", exact: "1.7.4"),
        .package(url: "https://github.com/swift-server/async-http-client.git", exact: "1.37.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird.git", exact: "2.28.1", traits: []),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle.git", exact: "2.13.0"),
        .package(url: "https://github.com/groue/GRDB.swift.git", exact: "7.10.0"),
        .package(url: "https://github.com/jpsim/Yams.git", exact: "6.2.2"),
        .package(url: "https://github.com/swiftlang/swift-subprocess.git", exact: "1.0.2", traits: []),
        .package(url: "https://github.com/vapor/jwt-kit.git", exact: "5.7.1"),
    ],
    targets: [
        // Leaves: bytes, addresses, the few C things.
        .target(name: "CLinux"),
        .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
        .target(name: "Zstandard", dependencies: ["CZstd"], swiftSettings: settings),
        .target(name: "Wire", swiftSettings: settings),

        // Pure codecs and state machines: no sockets, files, clocks, randomness.
        .target(name: "NetBoot", dependencies: ["Wire"], swiftSettings: settings),
        .target(name: "HostFacts", dependencies: ["Wire"], swiftSettings: settings),
        .target(name: "BlockIO", dependencies: ["Wire"], swiftSettings: settings),
        .target(name: "OCI", dependencies: ["Wire"], swiftSettings: settings),
        .target(name: "TPM", dependencies: ["Wire"], swiftSettings: settings),
        .target(
            name: "Attestation", dependencies: ["TPM", "Wire", crypto, cryptoExtras, certificates, asn1], swiftSettings: settings),

        // NIO's sockets where they need more than NIO gives.
        .target(name: "Sockets", dependencies: ["Wire", nioCore], swiftSettings: settings),

        // What the rack is made of, and what the API and the agent say of it.
        .target(name: "Model", dependencies: ["Wire"], swiftSettings: settings),
        // What a machine may know of itself, in the forms that clouds' clients read.
        .target(name: "Metadata", dependencies: ["Model", "Wire"], swiftSettings: settings),

        .target(
            name: "Store",
            dependencies: ["Model", .product(name: "GRDB", package: "GRDB.swift"), crypto, cryptoExtras, logging],
            swiftSettings: settings),
        .target(
            name: "Images",
            dependencies: [
                "Model", "OCI", "BlockIO", "Zstandard", "Wire", "CLinux", crypto, subprocess, httpClient, nioCore, nioPosix, logging,
            ],
            swiftSettings: settings),
        // A serial console: what is kept of it, who reads along.
        .target(name: "Consoles", swiftSettings: settings),
        .target(
            name: "Hardware",
            dependencies: [
                "Model", "Wire", crypto, subprocess, httpClient, nioCore, nioPosix, nioHTTP1, nioSSL, logging,
            ],
            swiftSettings: settings),
        .target(
            name: "Control",
            dependencies: [
                "Model", "Metadata", "Store", "Hardware", "Consoles", "OCI", "BlockIO", "Attestation", "TPM", "Wire", crypto, yams, logging,
            ],
            swiftSettings: settings),
        .target(
            name: "Identity",
            dependencies: [
                "Model", "Store", "Wire", crypto, cryptoExtras, certificates, asn1, logging,
                .product(name: "JWTKit", package: "jwt-kit"),
            ],
            swiftSettings: settings),
        .target(
            name: "BootServices",
            dependencies: [
                "Model", "Metadata", "Store", "Control", "NetBoot", "OCI", "Sockets", "Wire", "CLinux", nioCore, nioPosix, nioHTTP1,
                logging,
            ],
            swiftSettings: settings),
        .target(
            name: "API",
            dependencies: [
                "Model", "Store", "Control", "Consoles", "Identity", "Images", "Wire", nioCore, nioPosix, nioHTTP1, nioWebSocket, crypto,
                logging, .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "NIOHTTPTypesHTTP1", package: "swift-nio-extras"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "HummingbirdTLS", package: "hummingbird"),
                .product(name: "X509", package: "swift-certificates"),
                .product(name: "SwiftASN1", package: "swift-asn1"),
            ],
            swiftSettings: settings),
        .target(
            name: "VirtualBMC",
            dependencies: [
                "Model", "Sockets", "Wire", crypto, cryptoExtras, nioCore, nioPosix, nioHTTP1, logging,
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "X509", package: "swift-certificates"),
                .product(name: "SwiftASN1", package: "swift-asn1"),
            ],
            swiftSettings: settings),
        .target(
            name: "VirtualRack",
            dependencies: ["Model", "Wire", "CLinux", "Consoles", "VirtualBMC", subprocess, nioCore, nioPosix, logging],
            swiftSettings: settings),

        // The programs.
        .executableTarget(
            name: "hostler",
            dependencies: [
                "Model", "Store", "Hardware", "Control", "Attestation", "Identity", "Images", "BootServices", "API", "VirtualRack",
                "VirtualBMC", "CLinux", "Wire", arguments,
                httpClient, yams, subprocess, nioCore, nioPosix, nioHTTP1, nioWebSocket, logging,
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ],
            swiftSettings: settings),
        .executableTarget(
            name: "hostler-init",
            dependencies: [
                "Model", "OCI", "BlockIO", "HostFacts", "NetBoot", "TPM", "Wire", "CLinux", "Zstandard", crypto, httpClient,
                nioCore, nioPosix, logging,
            ],
            swiftSettings: settings),

        // Tests. `StoreConformance` is what any store must pass; `store-crasher` is killed by its test.
        .testTarget(name: "ModelTests", dependencies: ["Model", "Wire"], swiftSettings: settings),
        .testTarget(name: "MetadataTests", dependencies: ["Metadata", "Model", "Wire"], swiftSettings: settings),
        .testTarget(name: "NetBootTests", dependencies: ["NetBoot", "Wire"], swiftSettings: settings),
        .target(
            name: "StoreConformance", dependencies: ["Store"], path: "Tests/StoreConformance", swiftSettings: settings),
        .executableTarget(name: "attestation-judge", dependencies: ["Attestation", "TPM", "Wire"], swiftSettings: settings),
        .executableTarget(
            name: "bmc-bench", dependencies: ["CLinux", "Control", "Hardware", "Model", "OCI", "Store", "Wire", logging], swiftSettings: settings),
        .executableTarget(name: "store-crasher", dependencies: ["Store", logging], swiftSettings: settings),
        .testTarget(
            name: "StoreTests",
            dependencies: [
                "Model", "Store", "StoreConformance", "store-crasher", .product(name: "GRDB", package: "GRDB.swift"), logging,
            ],
            swiftSettings: settings),
        .testTarget(
            name: "ControlTests",
            dependencies: [
                "Control", "Attestation", "Consoles", "Hardware", "Model", "Store", "OCI", "TPM", "VirtualBMC", "Wire", crypto, cryptoExtras,
                certificates, yams, logging,
            ],
            swiftSettings: settings),
        .testTarget(
            name: "HardwareTests",
            dependencies: [
                "Hardware", "Model", "Wire", httpClient, nioCore, nioPosix, nioHTTP1, nioSSL, logging, certificates, crypto,
            ],
            swiftSettings: settings),
        .testTarget(
            name: "AttestationTests", dependencies: ["Attestation", "TPM", "Wire", crypto, cryptoExtras], swiftSettings: settings),
        .testTarget(
            name: "IdentityTests",
            dependencies: [
                "Identity", "Model", "Store", "Wire", crypto, cryptoExtras, .product(name: "JWTKit", package: "jwt-kit"),
            ], swiftSettings: settings),
        .testTarget(name: "ConsolesTests", dependencies: ["Consoles"], swiftSettings: settings),
        .testTarget(name: "VirtualRackTests", dependencies: ["VirtualRack", "VirtualBMC", "Wire"], swiftSettings: settings),
        .testTarget(
            name: "VirtualBMCTests",
            dependencies: ["VirtualBMC", "Model", "Sockets", "Wire", httpClient, nioCore, nioPosix, nioHTTP1, nioSSL, logging],
            swiftSettings: settings),
        .testTarget(name: "HostFactsTests", dependencies: ["HostFacts", "Wire"], swiftSettings: settings),
        .testTarget(name: "OCITests", dependencies: ["OCI", "Wire"], swiftSettings: settings),
        .testTarget(name: "BlockIOTests", dependencies: ["BlockIO", "Wire"], swiftSettings: settings),
        .testTarget(
            name: "BootServicesTests",
            dependencies: [
                "BootServices", "CLinux", "Control", "Identity", "Metadata", "Model", "NetBoot", "Sockets", "Store", "Wire", nioCore, nioPosix,
                nioHTTP1, logging,
            ],
            swiftSettings: settings),
        .testTarget(
            name: "APITests",
            dependencies: [
                "API", "Consoles", "Control", "Identity", "Model", "Store", "Wire", httpClient, nioCore, nioPosix, nioHTTP1, nioWebSocket, logging,
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
            ],
            swiftSettings: settings),
        .testTarget(
            name: "hostlerTests",
            dependencies: [
                "hostler", "API", "BootServices", "Control", "Hardware", "Model", "NetBoot", "OCI", "Store", "Wire", arguments, httpClient, nioCore,
                nioPosix,
                nioHTTP1, logging,
            ],
            swiftSettings: settings),
        .testTarget(
            name: "ImagesTests", dependencies: ["Images", "Model", "OCI", "BlockIO", "Zstandard", "Wire", "CLinux"], swiftSettings: settings),
        .testTarget(
            name: "HostlerInitTests",
            dependencies: ["hostler-init", "Attestation", "BlockIO", "HostFacts", "OCI", "Model", "TPM", "Wire", crypto],
            swiftSettings: settings),
    ]
)
