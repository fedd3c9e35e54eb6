/// What `/.well-known/openid-configuration` answers (OpenID Connect Discovery
/// 1.0 §3). There is no authorization endpoint: machines get tokens from their
/// metadata service, not through a browser.
public struct DiscoveryDocument: Codable, Sendable, Equatable {
    public var issuer: String
    public var jwksURI: String
    public var responseTypes: [String]
    public var subjectTypes: [String]
    public var signingAlgorithms: [String]
    public var claims: [String]
    public var scopes: [String]

    enum CodingKeys: String, CodingKey {
        case issuer
        case jwksURI = "jwks_uri"
        case responseTypes = "response_types_supported"
        case subjectTypes = "subject_types_supported"
        case signingAlgorithms = "id_token_signing_alg_values_supported"
        case claims = "claims_supported"
        case scopes = "scopes_supported"
    }

    init(issuer: IssuerURL) {
        self.issuer = issuer.text
        jwksURI = issuer.text + "/.well-known/jwks.json"
        responseTypes = ["id_token"]
        subjectTypes = ["public"]
        signingAlgorithms = ["RS256"]
        claims = ["iss", "sub", "aud", "iat", "nbf", "exp", "jti", "hostler"]
        scopes = ["openid"]
    }
}

/// The public keys that tokens are verified with (RFC 7517 §5).
public struct PublishedKeys: Codable, Sendable, Equatable {
    public var keys: [Key]

    /// An RSA key for signatures (RFC 7518 §6.3.1).
    public struct Key: Codable, Sendable, Equatable {
        public var kty: String
        public var use: String
        public var alg: String
        public var kid: String
        /// Modulus and exponent, big-endian, base64url.
        public var n: String
        public var e: String
    }
}
