/// A message of the DMTF's Base registry, version 1.4.0: what a service says
/// when something did not go as asked.
struct BaseMessage: Hashable, Sendable {
    static let registry = "Base.1.4.0"

    let key: String
    let message: String
    let severity: String
    let resolution: String
    let arguments: [String]
    /// JSON pointers to the properties that are meant.
    var related: [String] = []

    var id: String { "\(Self.registry).\(key)" }

    var json: JSON {
        var json: JSON = [
            "@odata.type": "#Message.v1_0_5.Message", "MessageId": .string(id), "Message": .string(message),
            "MessageArgs": .array(arguments.map { .string($0) }), "Severity": .string(severity),
            "Resolution": .string(resolution),
        ]
        if !related.isEmpty { json["RelatedProperties"] = .array(related.map { .string($0) }) }
        return json
    }

    private init(
        _ key: String, _ text: String, _ arguments: [String] = [], severity: String = "Warning",
        related: [String] = [], resolution: String
    ) {
        self.key = key
        var message = text
        for (index, argument) in arguments.enumerated() {
            guard let place = message.firstRange(of: "%\(index + 1)") else { continue }
            message.replaceSubrange(place, with: argument)
        }
        self.message = message
        self.severity = severity
        self.arguments = arguments
        self.related = related
        self.resolution = resolution
    }

    static let success = BaseMessage(
        "Success", "Successfully Completed Request", severity: "OK", resolution: "None")
    static let generalError = BaseMessage(
        "GeneralError",
        "A general error has occurred. See Resolution for information on how to resolve the error.",
        severity: "Critical", resolution: "None.")
    static let internalError = BaseMessage(
        "InternalError",
        "The request failed due to an internal service error.  The service is still operational.",
        severity: "Critical", resolution: "Resubmit the request; if it fails again, reset the service.")
    static let malformedJSON = BaseMessage(
        "MalformedJSON",
        "The request body submitted was malformed JSON and could not be parsed by the receiving service.",
        severity: "Critical", resolution: "Send valid JSON.")
    static let emptyJSON = BaseMessage(
        "EmptyJSON",
        "The request body submitted contained an empty JSON object and the service is unable to process it.",
        resolution: "Add properties and resubmit the request.")
    static let unrecognizedBody = BaseMessage(
        "UnrecognizedRequestBody",
        "The service detected a malformed request body that it was unable to interpret.",
        resolution: "Send a JSON object.")
    static let noOperation = BaseMessage(
        "NoOperation",
        "The request body submitted contain no data to act upon and no changes to the resource took place.",
        resolution: "Add properties and resubmit the request.")
    static let noValidSession = BaseMessage(
        "NoValidSession", "There is no valid session established with the implementation.", severity: "Critical",
        resolution: "Establish a session, or send credentials.")
    static let insufficientPrivilege = BaseMessage(
        "InsufficientPrivilege",
        "There are insufficient privileges for the account or credentials associated with the current session to "
            + "perform the requested operation.",
        severity: "Critical", resolution: "Use an account whose role allows it.")
    static let sessionLimitExceeded = BaseMessage(
        "SessionLimitExceeded",
        "The session establishment failed due to the number of simultaneous sessions exceeding the limit of the "
            + "implementation.",
        severity: "Critical", resolution: "Close other sessions first.")
    static let createLimitReached = BaseMessage(
        "CreateLimitReachedForResource",
        "The create operation failed because the resource has reached the limit of possible resources.",
        severity: "Critical", resolution: "Delete one first.")
    static let resourceCannotBeDeleted = BaseMessage(
        "ResourceCannotBeDeleted",
        "The delete request failed because the resource requested cannot be deleted.", severity: "Critical",
        resolution: "Leave it.")
    static let resourceInUse = BaseMessage(
        "ResourceInUse",
        "The change to the requested resource failed because the resource is in use or in transition.",
        resolution: "Remove the condition and resubmit the request.")
    static let queryNotSupported = BaseMessage(
        "QueryNotSupported", "Querying is not supported by the implementation.",
        resolution: "Remove the query parameters.")

    static func resourceMissing(_ uri: String) -> BaseMessage {
        BaseMessage(
            "ResourceMissingAtURI", "The resource at the URI %1 was not found.", [uri], severity: "Critical",
            resolution: "Correct the URI.")
    }

    static func propertyUnknown(_ name: String) -> BaseMessage {
        BaseMessage(
            "PropertyUnknown", "The property %1 is not in the list of valid properties for the resource.", [name],
            related: ["#/\(name)"], resolution: "Remove the property.")
    }

    static func propertyNotWritable(_ name: String) -> BaseMessage {
        BaseMessage(
            "PropertyNotWritable", "The property %1 is a read only property and cannot be assigned a value.", [name],
            related: ["#/\(name)"], resolution: "Remove the property.")
    }

    static func propertyMissing(_ name: String) -> BaseMessage {
        BaseMessage(
            "PropertyMissing", "The property %1 is a required property and must be included in the request.", [name],
            related: ["#/\(name)"], resolution: "Add the property.")
    }

    static func valueType(_ value: JSON, _ name: String) -> BaseMessage {
        BaseMessage(
            "PropertyValueTypeError",
            "The value %1 for the property %2 is of a different type than the property can accept.",
            [String(decoding: value.bytes, as: UTF8.self), name], related: ["#/\(name)"],
            resolution: "Correct the value.")
    }

    static func valueFormat(_ value: JSON, _ name: String) -> BaseMessage {
        BaseMessage(
            "PropertyValueFormatError",
            "The value %1 for the property %2 is of a different format than the property can accept.",
            [value.text ?? String(decoding: value.bytes, as: UTF8.self), name], related: ["#/\(name)"],
            resolution: "Correct the value.")
    }

    static func notInList(_ value: JSON, _ name: String) -> BaseMessage {
        BaseMessage(
            "PropertyValueNotInList",
            "The value %1 for the property %2 is not in the list of acceptable values.",
            [value.text ?? String(decoding: value.bytes, as: UTF8.self), name], related: ["#/\(name)"],
            resolution: "Choose one of the values that the resource lists as allowable.")
    }

    static func actionNotSupported(_ action: String) -> BaseMessage {
        BaseMessage(
            "ActionNotSupported", "The action %1 is not supported by the resource.", [action], severity: "Critical",
            resolution: "Use the actions that the resource lists.")
    }

    static func parameterMissing(_ action: String, _ name: String) -> BaseMessage {
        BaseMessage(
            "ActionParameterMissing", "The action %1 requires the parameter %2 to be present in the request body.",
            [action, name], severity: "Critical", resolution: "Add the parameter.")
    }

    static func parameterUnknown(_ action: String, _ name: String) -> BaseMessage {
        BaseMessage(
            "ActionParameterUnknown", "The action %1 was submitted with the invalid parameter %2.", [action, name],
            resolution: "Remove the parameter.")
    }

    static func parameterType(_ value: JSON, _ name: String, _ action: String) -> BaseMessage {
        BaseMessage(
            "ActionParameterValueTypeError",
            "The value %1 for the parameter %2 in the action %3 is of a different type than the parameter can accept.",
            [String(decoding: value.bytes, as: UTF8.self), name, action], resolution: "Correct the value.")
    }

    static func parameterFormat(_ value: JSON, _ name: String, _ action: String) -> BaseMessage {
        BaseMessage(
            "ActionParameterValueFormatError",
            "The value %1 for the parameter %2 in the action %3 is of a different format than the parameter can accept.",
            [value.text ?? String(decoding: value.bytes, as: UTF8.self), name, action],
            resolution: "Correct the value.")
    }

    static func alreadyExists(_ type: String, _ property: String, _ value: String) -> BaseMessage {
        BaseMessage(
            "ResourceAlreadyExists",
            "The requested resource of type %1 with the property %2 with the value %3 already exists.",
            [type, property, value], severity: "Critical", resolution: "It is there already.")
    }

    static func couldNotConnect(_ uri: String) -> BaseMessage {
        BaseMessage(
            "CouldNotEstablishConnection", "The service failed to establish a connection with the URI %1.", [uri],
            severity: "Critical", resolution: "Make sure that the URI can be reached from the BMC's network.")
    }
}
