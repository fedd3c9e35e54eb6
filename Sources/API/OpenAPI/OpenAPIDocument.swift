internal import Hummingbird
internal import Model

/// The OpenAPI 3.1 document, made from the route table: what is not in it is not served.
public enum OpenAPIDocument {
    public static func document(version: String) -> JSONValue {
        [
            "openapi": "3.1.0",
            "info": [
                "title": "Hostler", "version": .string(version),
                "description": "Finds the machines of a rack, keeps their record, and installs operating systems on them.",
                "license": ["name": "Apache-2.0", "identifier": "Apache-2.0"],
            ],
            "security": [["token": []]],
            "paths": .object(paths),
            "components": [
                "securitySchemes": ["token": ["type": "http", "scheme": "bearer", "bearerFormat": "hst_<id>_<secret>"]],
                "schemas": .object(Schemas.all),
            ],
        ]
    }

    /// `METHOD path` of every operation in the document.
    public static var operations: [String] {
        paths.flatMap { path, item -> [String] in
            guard case .object(let methods) = item else { return [] }
            return methods.keys.map { "\($0.uppercased()) \(path)" }
        }.sorted()
    }

    /// `METHOD path` of every route that is served.
    public static var routes: [String] { APIRouter.routes.map { "\($0.method.rawValue) \($0.path)" }.sorted() }

    private static var paths: [String: JSONValue] {
        Dictionary(grouping: APIRouter.routes, by: \.path).mapValues { routes in
            .object(Dictionary(routes.map { ($0.method.rawValue.lowercased(), operation($0)) }) { $1 })
        }
    }

    private static func operation(_ route: Route) -> JSONValue {
        var members: [String: JSONValue] = [
            "operationId": .string(route.name), "summary": .string(route.summary), "responses": responses(route),
        ]
        let parameters = route.parameters.map(pathParameter) + route.parametersOfQuery.map(queryParameter)
        if !parameters.isEmpty { members["parameters"] = .array(parameters) }
        if let body = route.body {
            members["requestBody"] = ["required": true, "content": ["application/json": ["schema": Schemas.reference(body)]]]
        }
        switch route.access {
        case .open: members["security"] = []
        case .role(let role): members["description"] = .string("Needs a token of role \(role.rawValue) or above.")
        }
        return .object(members)
    }

    private static func responses(_ route: Route) -> JSONValue {
        var content: [String: JSONValue] = [:]
        if let schema = route.reply.schema {
            content[route.reply.contentType] = ["schema": Schemas.reference(schema)]
        } else if route.reply.status != .noContent {
            content[route.reply.contentType] = [:]
        }
        if route.reply.isWatchable { content["text/event-stream"] = ["schema": ["type": "string"]] }
        var good: [String: JSONValue] = ["description": .string(route.reply.status.reasonPhrase)]
        if !content.isEmpty { good["content"] = .object(content) }
        var all: [String: JSONValue] = [
            String(route.reply.status.code): .object(good),
            "default": [
                "description": "What happened, why, and what to do about it",
                "content": ["application/problem+json": ["schema": Schemas.reference("Problem")]],
            ],
        ]
        if route.foresee != nil {
            var schemas = [Schemas.reference("Consequence")]
            if route.reply.status == .ok, let schema = route.reply.schema { schemas.append(Schemas.reference(schema)) }
            all["200"] = [
                "description": "OK; with dryRun what would be lost",
                "content": ["application/json": ["schema": ["anyOf": .array(schemas)]]],
            ]
        }
        return .object(all)
    }

    private static func pathParameter(_ name: String) -> JSONValue {
        ["name": .string(name), "in": "path", "required": true, "schema": ["type": "string"]]
    }

    private static func queryParameter(_ parameter: Route.QueryParameter) -> JSONValue {
        var schema: [String: JSONValue] = ["type": .string(parameter.type)]
        if !parameter.values.isEmpty { schema["enum"] = .array(parameter.values.map { .string($0) }) }
        return [
            "name": .string(parameter.name), "in": "query", "description": .string(parameter.summary),
            "schema": .object(schema),
        ]
    }
}
