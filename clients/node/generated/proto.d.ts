import * as $protobuf from "protobufjs";
import Long = require("long");
export namespace toolwire {

    namespace v1 {

        interface IDispatchRequest {
            calls?: (toolwire.v1.IDispatchCall[]|null);
            cancels?: ((number|Long)[]|null);
            clockMs?: (number|Long|null);
        }

        class DispatchRequest implements IDispatchRequest {
            constructor(properties?: toolwire.v1.IDispatchRequest);
            public calls: toolwire.v1.IDispatchCall[];
            public cancels: (number|Long)[];
            public clockMs: (number|Long);
            public static encode(message: toolwire.v1.IDispatchRequest, writer?: $protobuf.Writer): $protobuf.Writer;
            public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): toolwire.v1.DispatchRequest;
        }

        interface IDispatchCall {
            id?: (number|Long|null);
            call?: (toolwire.v1.ICallToolRequest|null);
        }

        class DispatchCall implements IDispatchCall {
            constructor(properties?: toolwire.v1.IDispatchCall);
            public id: (number|Long);
            public call?: (toolwire.v1.ICallToolRequest|null);
            public static encode(message: toolwire.v1.IDispatchCall, writer?: $protobuf.Writer): $protobuf.Writer;
            public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): toolwire.v1.DispatchCall;
        }

        interface IDispatchReply {
            answers?: (toolwire.v1.IDispatchAnswer[]|null);
            hello?: (toolwire.v1.IStreamHello|null);
            draining?: (boolean|null);
            clockRead?: (boolean|null);
        }

        class DispatchReply implements IDispatchReply {
            constructor(properties?: toolwire.v1.IDispatchReply);
            public answers: toolwire.v1.IDispatchAnswer[];
            public hello?: (toolwire.v1.IStreamHello|null);
            public draining: boolean;
            public clockRead: boolean;
            public static encode(message: toolwire.v1.IDispatchReply, writer?: $protobuf.Writer): $protobuf.Writer;
            public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): toolwire.v1.DispatchReply;
        }

        interface IStreamHello {
            version?: (string|null);
            startId?: (string|null);
            callsMax?: (number|null);
            messageBytesMax?: (number|Long|null);
            paramsBytesMax?: (number|Long|null);
            silenceMs?: (number|null);
            saysClockRead?: (boolean|null);
        }

        class StreamHello implements IStreamHello {
            constructor(properties?: toolwire.v1.IStreamHello);
            public version: string;
            public startId: string;
            public callsMax: number;
            public messageBytesMax: (number|Long);
            public paramsBytesMax: (number|Long);
            public silenceMs: number;
            public saysClockRead: boolean;
            public static encode(message: toolwire.v1.IStreamHello, writer?: $protobuf.Writer): $protobuf.Writer;
            public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): toolwire.v1.StreamHello;
        }

        interface IDispatchAnswer {
            id?: (number|Long|null);
            response?: (toolwire.v1.ICallToolResponse|null);
            failure?: (toolwire.v1.ICallFailure|null);
        }

        class DispatchAnswer implements IDispatchAnswer {
            constructor(properties?: toolwire.v1.IDispatchAnswer);
            public id: (number|Long);
            public response?: (toolwire.v1.ICallToolResponse|null);
            public failure?: (toolwire.v1.ICallFailure|null);
            public outcome?: ("response"|"failure");
            public static encode(message: toolwire.v1.IDispatchAnswer, writer?: $protobuf.Writer): $protobuf.Writer;
            public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): toolwire.v1.DispatchAnswer;
        }

        interface IGetAgentRequest {
            userId?: (string|null);
        }

        class GetAgentRequest implements IGetAgentRequest {
            constructor(properties?: toolwire.v1.IGetAgentRequest);
            public userId: string;
            public static encode(message: toolwire.v1.IGetAgentRequest, writer?: $protobuf.Writer): $protobuf.Writer;
            public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): toolwire.v1.GetAgentRequest;
        }

        interface IAgent {
            userId?: (string|null);
            connected?: (boolean|null);
            serverId?: (string|null);
            epoch?: (number|Long|null);
            connectedAt?: (google.protobuf.ITimestamp|null);
        }

        class Agent implements IAgent {
            constructor(properties?: toolwire.v1.IAgent);
            public userId: string;
            public connected: boolean;
            public serverId: string;
            public epoch: (number|Long);
            public connectedAt?: (google.protobuf.ITimestamp|null);
            public static encode(message: toolwire.v1.IAgent, writer?: $protobuf.Writer): $protobuf.Writer;
            public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): toolwire.v1.Agent;
        }

        interface IListAgentsRequest {
            pageSize?: (number|null);
            pageToken?: (string|null);
            serverId?: (string|null);
        }

        class ListAgentsRequest implements IListAgentsRequest {
            constructor(properties?: toolwire.v1.IListAgentsRequest);
            public pageSize: number;
            public pageToken: string;
            public serverId: string;
            public static encode(message: toolwire.v1.IListAgentsRequest, writer?: $protobuf.Writer): $protobuf.Writer;
            public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): toolwire.v1.ListAgentsRequest;
        }

        interface IListAgentsResponse {
            agents?: (toolwire.v1.IAgent[]|null);
            nextPageToken?: (string|null);
            totalConnected?: (number|Long|null);
        }

        class ListAgentsResponse implements IListAgentsResponse {
            constructor(properties?: toolwire.v1.IListAgentsResponse);
            public agents: toolwire.v1.IAgent[];
            public nextPageToken: string;
            public totalConnected: (number|Long);
            public static encode(message: toolwire.v1.IListAgentsResponse, writer?: $protobuf.Writer): $protobuf.Writer;
            public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): toolwire.v1.ListAgentsResponse;
        }

        interface IWatchAgentsRequest {
            userIds?: (string[]|null);
        }

        class WatchAgentsRequest implements IWatchAgentsRequest {
            constructor(properties?: toolwire.v1.IWatchAgentsRequest);
            public userIds: string[];
            public static encode(message: toolwire.v1.IWatchAgentsRequest, writer?: $protobuf.Writer): $protobuf.Writer;
            public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): toolwire.v1.WatchAgentsRequest;
        }

        interface IFollowRequest {
            add?: (string[]|null);
            remove?: (string[]|null);
        }

        class FollowRequest implements IFollowRequest {
            constructor(properties?: toolwire.v1.IFollowRequest);
            public add: string[];
            public remove: string[];
            public static encode(message: toolwire.v1.IFollowRequest, writer?: $protobuf.Writer): $protobuf.Writer;
            public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): toolwire.v1.FollowRequest;
        }

        interface IWatchAgentsResponse {
            events?: (toolwire.v1.WatchAgentsResponse.IEvent[]|null);
            hello?: (toolwire.v1.IStreamHello|null);
        }

        class WatchAgentsResponse implements IWatchAgentsResponse {
            constructor(properties?: toolwire.v1.IWatchAgentsResponse);
            public events: toolwire.v1.WatchAgentsResponse.IEvent[];
            public hello?: (toolwire.v1.IStreamHello|null);
            public static encode(message: toolwire.v1.IWatchAgentsResponse, writer?: $protobuf.Writer): $protobuf.Writer;
            public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): toolwire.v1.WatchAgentsResponse;
        }

        namespace WatchAgentsResponse {

            enum Kind {
                KIND_UNSPECIFIED = 0,
                CONNECTED = 1,
                DISCONNECTED = 2,
                MOVED = 3,
                SNAPSHOT_COMPLETE = 4
            }

            interface IEvent {
                kind?: (toolwire.v1.WatchAgentsResponse.Kind|null);
                agent?: (toolwire.v1.IAgent|null);
            }

            class Event implements IEvent {
                constructor(properties?: toolwire.v1.WatchAgentsResponse.IEvent);
                public kind: toolwire.v1.WatchAgentsResponse.Kind;
                public agent?: (toolwire.v1.IAgent|null);
                public static encode(message: toolwire.v1.WatchAgentsResponse.IEvent, writer?: $protobuf.Writer): $protobuf.Writer;
                public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): toolwire.v1.WatchAgentsResponse.Event;
            }
        }

        interface ICallToolRequest {
            userId?: (string|null);
            tool?: (string|null);
            paramsJson?: (Uint8Array|null);
            params?: (google.protobuf.IStruct|null);
            requestId?: (string|null);
            timeout?: (google.protobuf.IDuration|null);
        }

        class CallToolRequest implements ICallToolRequest {
            constructor(properties?: toolwire.v1.ICallToolRequest);
            public userId: string;
            public tool: string;
            public paramsJson: Uint8Array;
            public params?: (google.protobuf.IStruct|null);
            public requestId: string;
            public timeout?: (google.protobuf.IDuration|null);
            public static encode(message: toolwire.v1.ICallToolRequest, writer?: $protobuf.Writer): $protobuf.Writer;
            public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): toolwire.v1.CallToolRequest;
        }

        interface ICallToolResponse {
            requestId?: (string|null);
            success?: (boolean|null);
            resultJson?: (Uint8Array|null);
            error?: (string|null);
            result?: (google.protobuf.IValue|null);
            executionTimeMs?: (number|Long|null);
            resultOmitted?: (boolean|null);
        }

        class CallToolResponse implements ICallToolResponse {
            constructor(properties?: toolwire.v1.ICallToolResponse);
            public requestId: string;
            public success: boolean;
            public resultJson: Uint8Array;
            public error: string;
            public result?: (google.protobuf.IValue|null);
            public executionTimeMs?: (number|Long|null);
            public resultOmitted: boolean;
            public static encode(message: toolwire.v1.ICallToolResponse, writer?: $protobuf.Writer): $protobuf.Writer;
            public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): toolwire.v1.CallToolResponse;
        }

        interface ICallError {
            reason?: (toolwire.v1.CallError.Reason|null);
            delivery?: (toolwire.v1.CallError.Delivery|null);
            retryAfter?: (google.protobuf.IDuration|null);
            field?: (string|null);
            requestId?: (string|null);
        }

        class CallError implements ICallError {
            constructor(properties?: toolwire.v1.ICallError);
            public reason: toolwire.v1.CallError.Reason;
            public delivery: toolwire.v1.CallError.Delivery;
            public retryAfter?: (google.protobuf.IDuration|null);
            public field: string;
            public requestId: string;
            public static encode(message: toolwire.v1.ICallError, writer?: $protobuf.Writer): $protobuf.Writer;
            public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): toolwire.v1.CallError;
        }

        namespace CallError {

            enum Delivery {
                DELIVERY_UNSPECIFIED = 0,
                NOT_SENT = 1,
                SENT = 2
            }

            enum Reason {
                REASON_UNSPECIFIED = 0,
                AGENT_NOT_CONNECTED = 1,
                EDGE_UNAVAILABLE = 2,
                AGENT_BUSY = 3,
                CALL_TIMEOUT = 4,
                AGENT_LOST = 5,
                CALLER_CANCELLED = 6,
                INVALID_REQUEST = 7,
                DUPLICATE_REQUEST = 8,
                CALLER_BUSY = 9,
                UNAUTHENTICATED = 10,
                PERMISSION_DENIED = 11
            }
        }

        interface ICallFailure {
            code?: (number|null);
            message?: (string|null);
            detail?: (toolwire.v1.ICallError|null);
        }

        class CallFailure implements ICallFailure {
            constructor(properties?: toolwire.v1.ICallFailure);
            public code: number;
            public message: string;
            public detail?: (toolwire.v1.ICallError|null);
            public static encode(message: toolwire.v1.ICallFailure, writer?: $protobuf.Writer): $protobuf.Writer;
            public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): toolwire.v1.CallFailure;
        }

        interface IStatusDetails {
            code?: (number|null);
            message?: (string|null);
            details?: (toolwire.v1.IPackedDetail[]|null);
        }

        class StatusDetails implements IStatusDetails {
            constructor(properties?: toolwire.v1.IStatusDetails);
            public code: number;
            public message: string;
            public details: toolwire.v1.IPackedDetail[];
            public static encode(message: toolwire.v1.IStatusDetails, writer?: $protobuf.Writer): $protobuf.Writer;
            public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): toolwire.v1.StatusDetails;
        }

        interface IPackedDetail {
            typeUrl?: (string|null);
            value?: (Uint8Array|null);
        }

        class PackedDetail implements IPackedDetail {
            constructor(properties?: toolwire.v1.IPackedDetail);
            public typeUrl: string;
            public value: Uint8Array;
            public static encode(message: toolwire.v1.IPackedDetail, writer?: $protobuf.Writer): $protobuf.Writer;
            public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): toolwire.v1.PackedDetail;
        }

        interface ICreateCredentialRequest {
            userId?: (string|null);
            platform?: (string|null);
        }

        class CreateCredentialRequest implements ICreateCredentialRequest {
            constructor(properties?: toolwire.v1.ICreateCredentialRequest);
            public userId: string;
            public platform: string;
            public static encode(message: toolwire.v1.ICreateCredentialRequest, writer?: $protobuf.Writer): $protobuf.Writer;
            public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): toolwire.v1.CreateCredentialRequest;
        }

        interface IRotateCredentialRequest {
            userId?: (string|null);
            keepSession?: (boolean|null);
            prepare?: (boolean|null);
            secret?: (string|null);
        }

        class RotateCredentialRequest implements IRotateCredentialRequest {
            constructor(properties?: toolwire.v1.IRotateCredentialRequest);
            public userId: string;
            public keepSession: boolean;
            public prepare: boolean;
            public secret: string;
            public static encode(message: toolwire.v1.IRotateCredentialRequest, writer?: $protobuf.Writer): $protobuf.Writer;
            public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): toolwire.v1.RotateCredentialRequest;
        }

        interface ICredentialSecret {
            userId?: (string|null);
            secret?: (string|null);
            everywhere?: (boolean|null);
            edgesNotHeard?: (string[]|null);
            prepared?: (boolean|null);
        }

        class CredentialSecret implements ICredentialSecret {
            constructor(properties?: toolwire.v1.ICredentialSecret);
            public userId: string;
            public secret: string;
            public everywhere: boolean;
            public edgesNotHeard: string[];
            public prepared: boolean;
            public static encode(message: toolwire.v1.ICredentialSecret, writer?: $protobuf.Writer): $protobuf.Writer;
            public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): toolwire.v1.CredentialSecret;
        }

        interface IRevokeCredentialRequest {
            userId?: (string|null);
        }

        class RevokeCredentialRequest implements IRevokeCredentialRequest {
            constructor(properties?: toolwire.v1.IRevokeCredentialRequest);
            public userId: string;
            public static encode(message: toolwire.v1.IRevokeCredentialRequest, writer?: $protobuf.Writer): $protobuf.Writer;
            public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): toolwire.v1.RevokeCredentialRequest;
        }

        interface IRevokeCredentialResponse {
            sessionClosed?: (boolean|null);
            everywhere?: (boolean|null);
            edgesNotHeard?: (string[]|null);
        }

        class RevokeCredentialResponse implements IRevokeCredentialResponse {
            constructor(properties?: toolwire.v1.IRevokeCredentialResponse);
            public sessionClosed: boolean;
            public everywhere: boolean;
            public edgesNotHeard: string[];
            public static encode(message: toolwire.v1.IRevokeCredentialResponse, writer?: $protobuf.Writer): $protobuf.Writer;
            public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): toolwire.v1.RevokeCredentialResponse;
        }

        interface IListCredentialsRequest {
            pageSize?: (number|null);
            pageToken?: (string|null);
        }

        class ListCredentialsRequest implements IListCredentialsRequest {
            constructor(properties?: toolwire.v1.IListCredentialsRequest);
            public pageSize: number;
            public pageToken: string;
            public static encode(message: toolwire.v1.IListCredentialsRequest, writer?: $protobuf.Writer): $protobuf.Writer;
            public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): toolwire.v1.ListCredentialsRequest;
        }

        interface ICredential {
            userId?: (string|null);
            platform?: (string|null);
            status?: (string|null);
            createdAt?: (google.protobuf.ITimestamp|null);
            lastSeen?: (google.protobuf.ITimestamp|null);
            revoked?: (boolean|null);
        }

        class Credential implements ICredential {
            constructor(properties?: toolwire.v1.ICredential);
            public userId: string;
            public platform: string;
            public status: string;
            public createdAt?: (google.protobuf.ITimestamp|null);
            public lastSeen?: (google.protobuf.ITimestamp|null);
            public revoked: boolean;
            public static encode(message: toolwire.v1.ICredential, writer?: $protobuf.Writer): $protobuf.Writer;
            public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): toolwire.v1.Credential;
        }

        interface IListCredentialsResponse {
            credentials?: (toolwire.v1.ICredential[]|null);
            nextPageToken?: (string|null);
        }

        class ListCredentialsResponse implements IListCredentialsResponse {
            constructor(properties?: toolwire.v1.IListCredentialsResponse);
            public credentials: toolwire.v1.ICredential[];
            public nextPageToken: string;
            public static encode(message: toolwire.v1.IListCredentialsResponse, writer?: $protobuf.Writer): $protobuf.Writer;
            public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): toolwire.v1.ListCredentialsResponse;
        }

        interface IDisconnectAgentRequest {
            userId?: (string|null);
        }

        class DisconnectAgentRequest implements IDisconnectAgentRequest {
            constructor(properties?: toolwire.v1.IDisconnectAgentRequest);
            public userId: string;
            public static encode(message: toolwire.v1.IDisconnectAgentRequest, writer?: $protobuf.Writer): $protobuf.Writer;
            public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): toolwire.v1.DisconnectAgentRequest;
        }

        interface IDisconnectAgentResponse {
            serverId?: (string|null);
        }

        class DisconnectAgentResponse implements IDisconnectAgentResponse {
            constructor(properties?: toolwire.v1.IDisconnectAgentResponse);
            public serverId: string;
            public static encode(message: toolwire.v1.IDisconnectAgentResponse, writer?: $protobuf.Writer): $protobuf.Writer;
            public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): toolwire.v1.DisconnectAgentResponse;
        }

        interface IListExecutionsRequest {
            userId?: (string|null);
            from?: (google.protobuf.ITimestamp|null);
            until?: (google.protobuf.ITimestamp|null);
            pageSize?: (number|null);
            pageToken?: (string|null);
        }

        class ListExecutionsRequest implements IListExecutionsRequest {
            constructor(properties?: toolwire.v1.IListExecutionsRequest);
            public userId: string;
            public from?: (google.protobuf.ITimestamp|null);
            public until?: (google.protobuf.ITimestamp|null);
            public pageSize: number;
            public pageToken: string;
            public static encode(message: toolwire.v1.IListExecutionsRequest, writer?: $protobuf.Writer): $protobuf.Writer;
            public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): toolwire.v1.ListExecutionsRequest;
        }

        interface IExecution {
            userId?: (string|null);
            requestId?: (string|null);
            tool?: (string|null);
            paramsJson?: (Uint8Array|null);
            resultJson?: (Uint8Array|null);
            success?: (boolean|null);
            error?: (string|null);
            executionTimeMs?: (number|Long|null);
            createdAt?: (google.protobuf.ITimestamp|null);
            caller?: (string|null);
        }

        class Execution implements IExecution {
            constructor(properties?: toolwire.v1.IExecution);
            public userId: string;
            public requestId: string;
            public tool: string;
            public paramsJson: Uint8Array;
            public resultJson: Uint8Array;
            public success: boolean;
            public error: string;
            public executionTimeMs?: (number|Long|null);
            public createdAt?: (google.protobuf.ITimestamp|null);
            public caller: string;
            public static encode(message: toolwire.v1.IExecution, writer?: $protobuf.Writer): $protobuf.Writer;
            public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): toolwire.v1.Execution;
        }

        interface IListExecutionsResponse {
            executions?: (toolwire.v1.IExecution[]|null);
            nextPageToken?: (string|null);
        }

        class ListExecutionsResponse implements IListExecutionsResponse {
            constructor(properties?: toolwire.v1.IListExecutionsResponse);
            public executions: toolwire.v1.IExecution[];
            public nextPageToken: string;
            public static encode(message: toolwire.v1.IListExecutionsResponse, writer?: $protobuf.Writer): $protobuf.Writer;
            public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): toolwire.v1.ListExecutionsResponse;
        }
    }
}

export namespace google {

    namespace protobuf {

        interface ITimestamp {
            seconds?: (number|Long|null);
            nanos?: (number|null);
        }

        class Timestamp implements ITimestamp {
            constructor(properties?: google.protobuf.ITimestamp);
            public seconds: (number|Long);
            public nanos: number;
            public static encode(message: google.protobuf.ITimestamp, writer?: $protobuf.Writer): $protobuf.Writer;
            public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): google.protobuf.Timestamp;
        }

        interface IDuration {
            seconds?: (number|Long|null);
            nanos?: (number|null);
        }

        class Duration implements IDuration {
            constructor(properties?: google.protobuf.IDuration);
            public seconds: (number|Long);
            public nanos: number;
            public static encode(message: google.protobuf.IDuration, writer?: $protobuf.Writer): $protobuf.Writer;
            public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): google.protobuf.Duration;
        }

        interface IStruct {
            fields?: ({ [k: string]: google.protobuf.IValue }|null);
        }

        class Struct implements IStruct {
            constructor(properties?: google.protobuf.IStruct);
            public fields: { [k: string]: google.protobuf.IValue };
            public static encode(message: google.protobuf.IStruct, writer?: $protobuf.Writer): $protobuf.Writer;
            public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): google.protobuf.Struct;
        }

        interface IValue {
            nullValue?: (google.protobuf.NullValue|null);
            numberValue?: (number|null);
            stringValue?: (string|null);
            boolValue?: (boolean|null);
            structValue?: (google.protobuf.IStruct|null);
            listValue?: (google.protobuf.IListValue|null);
        }

        class Value implements IValue {
            constructor(properties?: google.protobuf.IValue);
            public nullValue?: (google.protobuf.NullValue|null);
            public numberValue?: (number|null);
            public stringValue?: (string|null);
            public boolValue?: (boolean|null);
            public structValue?: (google.protobuf.IStruct|null);
            public listValue?: (google.protobuf.IListValue|null);
            public kind?: ("nullValue"|"numberValue"|"stringValue"|"boolValue"|"structValue"|"listValue");
            public static encode(message: google.protobuf.IValue, writer?: $protobuf.Writer): $protobuf.Writer;
            public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): google.protobuf.Value;
        }

        enum NullValue {
            NULL_VALUE = 0
        }

        interface IListValue {
            values?: (google.protobuf.IValue[]|null);
        }

        class ListValue implements IListValue {
            constructor(properties?: google.protobuf.IListValue);
            public values: google.protobuf.IValue[];
            public static encode(message: google.protobuf.IListValue, writer?: $protobuf.Writer): $protobuf.Writer;
            public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): google.protobuf.ListValue;
        }
    }
}
