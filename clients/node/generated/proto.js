/*eslint-disable block-scoped-var, id-length, no-control-regex, no-magic-numbers, no-prototype-builtins, no-redeclare, no-shadow, no-var, sort-vars*/
"use strict";

var $protobuf = require("protobufjs/minimal");

// Common aliases
var $Reader = $protobuf.Reader, $Writer = $protobuf.Writer, $util = $protobuf.util;

// Exported root namespace
var $root = {};

$root.toolwire = (function() {

    /**
     * Namespace toolwire.
     * @exports toolwire
     * @namespace
     */
    var toolwire = {};

    toolwire.v1 = (function() {

        /**
         * Namespace v1.
         * @memberof toolwire
         * @namespace
         */
        var v1 = {};

        v1.DispatchRequest = (function() {

            /**
             * Properties of a DispatchRequest.
             * @memberof toolwire.v1
             * @interface IDispatchRequest
             * @property {Array.<toolwire.v1.IDispatchCall>|null} [calls] DispatchRequest calls
             * @property {Array.<number|Long>|null} [cancels] DispatchRequest cancels
             * @property {number|Long|null} [clockMs] DispatchRequest clockMs
             */

            /**
             * Constructs a new DispatchRequest.
             * @memberof toolwire.v1
             * @classdesc Represents a DispatchRequest.
             * @implements IDispatchRequest
             * @constructor
             * @param {toolwire.v1.IDispatchRequest=} [properties] Properties to set
             */
            function DispatchRequest(properties) {
                this.calls = [];
                this.cancels = [];
                if (properties)
                    for (var keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                        if (properties[keys[i]] != null && keys[i] !== "__proto__")
                            this[keys[i]] = properties[keys[i]];
            }

            /**
             * DispatchRequest calls.
             * @member {Array.<toolwire.v1.IDispatchCall>} calls
             * @memberof toolwire.v1.DispatchRequest
             * @instance
             */
            DispatchRequest.prototype.calls = $util.emptyArray;

            /**
             * DispatchRequest cancels.
             * @member {Array.<number|Long>} cancels
             * @memberof toolwire.v1.DispatchRequest
             * @instance
             */
            DispatchRequest.prototype.cancels = $util.emptyArray;

            /**
             * DispatchRequest clockMs.
             * @member {number|Long} clockMs
             * @memberof toolwire.v1.DispatchRequest
             * @instance
             */
            DispatchRequest.prototype.clockMs = $util.Long ? $util.Long.fromBits(0,0,true) : 0;

            /**
             * Encodes the specified DispatchRequest message. Does not implicitly {@link toolwire.v1.DispatchRequest.verify|verify} messages.
             * @function encode
             * @memberof toolwire.v1.DispatchRequest
             * @static
             * @param {toolwire.v1.IDispatchRequest} message DispatchRequest message or plain object to encode
             * @param {$protobuf.Writer} [writer] Writer to encode to
             * @returns {$protobuf.Writer} Writer
             */
            DispatchRequest.encode = function encode(message, writer, q) {
                if (!writer)
                    writer = $Writer.create();
                if (q === undefined)
                    q = 0;
                if (q > $util.recursionLimit)
                    throw Error("max depth exceeded");
                if (message.calls != null && message.calls.length)
                    for (var i = 0; i < message.calls.length; ++i)
                        $root.toolwire.v1.DispatchCall.encode(message.calls[i], writer.uint32(/* id 1, wireType 2 =*/10).fork(), q + 1).ldelim();
                if (message.cancels != null && message.cancels.length) {
                    writer.uint32(/* id 2, wireType 2 =*/18).fork();
                    for (var i = 0; i < message.cancels.length; ++i)
                        writer.uint64(message.cancels[i]);
                    writer.ldelim();
                }
                if (message.clockMs != null && Object.hasOwnProperty.call(message, "clockMs"))
                    writer.uint32(/* id 3, wireType 0 =*/24).uint64(message.clockMs);
                return writer;
            };

            /**
             * Decodes a DispatchRequest message from the specified reader or buffer.
             * @function decode
             * @memberof toolwire.v1.DispatchRequest
             * @static
             * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
             * @param {number} [length] Message length if known beforehand
             * @returns {toolwire.v1.DispatchRequest} DispatchRequest
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            DispatchRequest.decode = function decode(reader, length, error, long) {
                if (!(reader instanceof $Reader))
                    reader = $Reader.create(reader);
                if (long === undefined)
                    long = 0;
                if (long > $Reader.recursionLimit)
                    throw Error("maximum nesting depth exceeded");
                var end, message;
                if (length === undefined)
                    end = reader.len;
                else {
                    end = reader.pos + length;
                    if (end > reader.len)
                        throw RangeError("index out of range");
                    length = reader.len;
                    reader.len = end;
                }
                message = new $root.toolwire.v1.DispatchRequest();
                while (reader.pos < end) {
                    var tag = reader.uint32();
                    if (tag === error)
                        break;
                    switch (tag >>> 3) {
                    case 1: {
                            if (!(message.calls && message.calls.length))
                                message.calls = [];
                            message.calls.push($root.toolwire.v1.DispatchCall.decode(reader, reader.uint32(), undefined, long + 1));
                            break;
                        }
                    case 2: {
                            if (!(message.cancels && message.cancels.length))
                                message.cancels = [];
                            if ((tag & 7) === 2) {
                                var end2 = reader.uint32() + reader.pos;
                                if (end2 > reader.len)
                                    throw RangeError("index out of range");
                                reader.len = end2;
                                while (reader.pos < end2)
                                    message.cancels.push(reader.uint64());
                                if (reader.pos !== end2)
                                    throw RangeError("index out of range");
                                reader.len = end;
                            } else
                                message.cancels.push(reader.uint64());
                            break;
                        }
                    case 3: {
                            message.clockMs = reader.uint64();
                            break;
                        }
                    default:
                        reader.skipType(tag & 7, long);
                        break;
                    }
                }
                if (length !== undefined) {
                    if (reader.pos !== end)
                        throw RangeError("index out of range");
                    reader.len = length;
                }
                return message;
            };

            return DispatchRequest;
        })();

        v1.DispatchCall = (function() {

            /**
             * Properties of a DispatchCall.
             * @memberof toolwire.v1
             * @interface IDispatchCall
             * @property {number|Long|null} [id] DispatchCall id
             * @property {toolwire.v1.ICallToolRequest|null} [call] DispatchCall call
             */

            /**
             * Constructs a new DispatchCall.
             * @memberof toolwire.v1
             * @classdesc Represents a DispatchCall.
             * @implements IDispatchCall
             * @constructor
             * @param {toolwire.v1.IDispatchCall=} [properties] Properties to set
             */
            function DispatchCall(properties) {
                if (properties)
                    for (var keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                        if (properties[keys[i]] != null && keys[i] !== "__proto__")
                            this[keys[i]] = properties[keys[i]];
            }

            /**
             * DispatchCall id.
             * @member {number|Long} id
             * @memberof toolwire.v1.DispatchCall
             * @instance
             */
            DispatchCall.prototype.id = $util.Long ? $util.Long.fromBits(0,0,true) : 0;

            /**
             * DispatchCall call.
             * @member {toolwire.v1.ICallToolRequest|null|undefined} call
             * @memberof toolwire.v1.DispatchCall
             * @instance
             */
            DispatchCall.prototype.call = null;

            /**
             * Encodes the specified DispatchCall message. Does not implicitly {@link toolwire.v1.DispatchCall.verify|verify} messages.
             * @function encode
             * @memberof toolwire.v1.DispatchCall
             * @static
             * @param {toolwire.v1.IDispatchCall} message DispatchCall message or plain object to encode
             * @param {$protobuf.Writer} [writer] Writer to encode to
             * @returns {$protobuf.Writer} Writer
             */
            DispatchCall.encode = function encode(message, writer, q) {
                if (!writer)
                    writer = $Writer.create();
                if (q === undefined)
                    q = 0;
                if (q > $util.recursionLimit)
                    throw Error("max depth exceeded");
                if (message.id != null && Object.hasOwnProperty.call(message, "id"))
                    writer.uint32(/* id 1, wireType 0 =*/8).uint64(message.id);
                if (message.call != null && Object.hasOwnProperty.call(message, "call"))
                    $root.toolwire.v1.CallToolRequest.encode(message.call, writer.uint32(/* id 2, wireType 2 =*/18).fork(), q + 1).ldelim();
                return writer;
            };

            /**
             * Decodes a DispatchCall message from the specified reader or buffer.
             * @function decode
             * @memberof toolwire.v1.DispatchCall
             * @static
             * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
             * @param {number} [length] Message length if known beforehand
             * @returns {toolwire.v1.DispatchCall} DispatchCall
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            DispatchCall.decode = function decode(reader, length, error, long) {
                if (!(reader instanceof $Reader))
                    reader = $Reader.create(reader);
                if (long === undefined)
                    long = 0;
                if (long > $Reader.recursionLimit)
                    throw Error("maximum nesting depth exceeded");
                var end, message;
                if (length === undefined)
                    end = reader.len;
                else {
                    end = reader.pos + length;
                    if (end > reader.len)
                        throw RangeError("index out of range");
                    length = reader.len;
                    reader.len = end;
                }
                message = new $root.toolwire.v1.DispatchCall();
                while (reader.pos < end) {
                    var tag = reader.uint32();
                    if (tag === error)
                        break;
                    switch (tag >>> 3) {
                    case 1: {
                            message.id = reader.uint64();
                            break;
                        }
                    case 2: {
                            message.call = $root.toolwire.v1.CallToolRequest.decode(reader, reader.uint32(), undefined, long + 1);
                            break;
                        }
                    default:
                        reader.skipType(tag & 7, long);
                        break;
                    }
                }
                if (length !== undefined) {
                    if (reader.pos !== end)
                        throw RangeError("index out of range");
                    reader.len = length;
                }
                return message;
            };

            return DispatchCall;
        })();

        v1.DispatchReply = (function() {

            /**
             * Properties of a DispatchReply.
             * @memberof toolwire.v1
             * @interface IDispatchReply
             * @property {Array.<toolwire.v1.IDispatchAnswer>|null} [answers] DispatchReply answers
             * @property {toolwire.v1.IStreamHello|null} [hello] DispatchReply hello
             * @property {boolean|null} [draining] DispatchReply draining
             * @property {boolean|null} [clockRead] DispatchReply clockRead
             */

            /**
             * Constructs a new DispatchReply.
             * @memberof toolwire.v1
             * @classdesc Represents a DispatchReply.
             * @implements IDispatchReply
             * @constructor
             * @param {toolwire.v1.IDispatchReply=} [properties] Properties to set
             */
            function DispatchReply(properties) {
                this.answers = [];
                if (properties)
                    for (var keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                        if (properties[keys[i]] != null && keys[i] !== "__proto__")
                            this[keys[i]] = properties[keys[i]];
            }

            /**
             * DispatchReply answers.
             * @member {Array.<toolwire.v1.IDispatchAnswer>} answers
             * @memberof toolwire.v1.DispatchReply
             * @instance
             */
            DispatchReply.prototype.answers = $util.emptyArray;

            /**
             * DispatchReply hello.
             * @member {toolwire.v1.IStreamHello|null|undefined} hello
             * @memberof toolwire.v1.DispatchReply
             * @instance
             */
            DispatchReply.prototype.hello = null;

            /**
             * DispatchReply draining.
             * @member {boolean} draining
             * @memberof toolwire.v1.DispatchReply
             * @instance
             */
            DispatchReply.prototype.draining = false;

            /**
             * DispatchReply clockRead.
             * @member {boolean} clockRead
             * @memberof toolwire.v1.DispatchReply
             * @instance
             */
            DispatchReply.prototype.clockRead = false;

            /**
             * Encodes the specified DispatchReply message. Does not implicitly {@link toolwire.v1.DispatchReply.verify|verify} messages.
             * @function encode
             * @memberof toolwire.v1.DispatchReply
             * @static
             * @param {toolwire.v1.IDispatchReply} message DispatchReply message or plain object to encode
             * @param {$protobuf.Writer} [writer] Writer to encode to
             * @returns {$protobuf.Writer} Writer
             */
            DispatchReply.encode = function encode(message, writer, q) {
                if (!writer)
                    writer = $Writer.create();
                if (q === undefined)
                    q = 0;
                if (q > $util.recursionLimit)
                    throw Error("max depth exceeded");
                if (message.answers != null && message.answers.length)
                    for (var i = 0; i < message.answers.length; ++i)
                        $root.toolwire.v1.DispatchAnswer.encode(message.answers[i], writer.uint32(/* id 1, wireType 2 =*/10).fork(), q + 1).ldelim();
                if (message.hello != null && Object.hasOwnProperty.call(message, "hello"))
                    $root.toolwire.v1.StreamHello.encode(message.hello, writer.uint32(/* id 2, wireType 2 =*/18).fork(), q + 1).ldelim();
                if (message.draining != null && Object.hasOwnProperty.call(message, "draining"))
                    writer.uint32(/* id 3, wireType 0 =*/24).bool(message.draining);
                if (message.clockRead != null && Object.hasOwnProperty.call(message, "clockRead"))
                    writer.uint32(/* id 4, wireType 0 =*/32).bool(message.clockRead);
                return writer;
            };

            /**
             * Decodes a DispatchReply message from the specified reader or buffer.
             * @function decode
             * @memberof toolwire.v1.DispatchReply
             * @static
             * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
             * @param {number} [length] Message length if known beforehand
             * @returns {toolwire.v1.DispatchReply} DispatchReply
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            DispatchReply.decode = function decode(reader, length, error, long) {
                if (!(reader instanceof $Reader))
                    reader = $Reader.create(reader);
                if (long === undefined)
                    long = 0;
                if (long > $Reader.recursionLimit)
                    throw Error("maximum nesting depth exceeded");
                var end, message;
                if (length === undefined)
                    end = reader.len;
                else {
                    end = reader.pos + length;
                    if (end > reader.len)
                        throw RangeError("index out of range");
                    length = reader.len;
                    reader.len = end;
                }
                message = new $root.toolwire.v1.DispatchReply();
                while (reader.pos < end) {
                    var tag = reader.uint32();
                    if (tag === error)
                        break;
                    switch (tag >>> 3) {
                    case 1: {
                            if (!(message.answers && message.answers.length))
                                message.answers = [];
                            message.answers.push($root.toolwire.v1.DispatchAnswer.decode(reader, reader.uint32(), undefined, long + 1));
                            break;
                        }
                    case 2: {
                            message.hello = $root.toolwire.v1.StreamHello.decode(reader, reader.uint32(), undefined, long + 1);
                            break;
                        }
                    case 3: {
                            message.draining = reader.bool();
                            break;
                        }
                    case 4: {
                            message.clockRead = reader.bool();
                            break;
                        }
                    default:
                        reader.skipType(tag & 7, long);
                        break;
                    }
                }
                if (length !== undefined) {
                    if (reader.pos !== end)
                        throw RangeError("index out of range");
                    reader.len = length;
                }
                return message;
            };

            return DispatchReply;
        })();

        v1.StreamHello = (function() {

            /**
             * Properties of a StreamHello.
             * @memberof toolwire.v1
             * @interface IStreamHello
             * @property {string|null} [version] StreamHello version
             * @property {string|null} [startId] StreamHello startId
             * @property {number|null} [callsMax] StreamHello callsMax
             * @property {number|Long|null} [messageBytesMax] StreamHello messageBytesMax
             * @property {number|Long|null} [paramsBytesMax] StreamHello paramsBytesMax
             * @property {number|null} [silenceMs] StreamHello silenceMs
             * @property {boolean|null} [saysClockRead] StreamHello saysClockRead
             */

            /**
             * Constructs a new StreamHello.
             * @memberof toolwire.v1
             * @classdesc Represents a StreamHello.
             * @implements IStreamHello
             * @constructor
             * @param {toolwire.v1.IStreamHello=} [properties] Properties to set
             */
            function StreamHello(properties) {
                if (properties)
                    for (var keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                        if (properties[keys[i]] != null && keys[i] !== "__proto__")
                            this[keys[i]] = properties[keys[i]];
            }

            /**
             * StreamHello version.
             * @member {string} version
             * @memberof toolwire.v1.StreamHello
             * @instance
             */
            StreamHello.prototype.version = "";

            /**
             * StreamHello startId.
             * @member {string} startId
             * @memberof toolwire.v1.StreamHello
             * @instance
             */
            StreamHello.prototype.startId = "";

            /**
             * StreamHello callsMax.
             * @member {number} callsMax
             * @memberof toolwire.v1.StreamHello
             * @instance
             */
            StreamHello.prototype.callsMax = 0;

            /**
             * StreamHello messageBytesMax.
             * @member {number|Long} messageBytesMax
             * @memberof toolwire.v1.StreamHello
             * @instance
             */
            StreamHello.prototype.messageBytesMax = $util.Long ? $util.Long.fromBits(0,0,true) : 0;

            /**
             * StreamHello paramsBytesMax.
             * @member {number|Long} paramsBytesMax
             * @memberof toolwire.v1.StreamHello
             * @instance
             */
            StreamHello.prototype.paramsBytesMax = $util.Long ? $util.Long.fromBits(0,0,true) : 0;

            /**
             * StreamHello silenceMs.
             * @member {number} silenceMs
             * @memberof toolwire.v1.StreamHello
             * @instance
             */
            StreamHello.prototype.silenceMs = 0;

            /**
             * StreamHello saysClockRead.
             * @member {boolean} saysClockRead
             * @memberof toolwire.v1.StreamHello
             * @instance
             */
            StreamHello.prototype.saysClockRead = false;

            /**
             * Encodes the specified StreamHello message. Does not implicitly {@link toolwire.v1.StreamHello.verify|verify} messages.
             * @function encode
             * @memberof toolwire.v1.StreamHello
             * @static
             * @param {toolwire.v1.IStreamHello} message StreamHello message or plain object to encode
             * @param {$protobuf.Writer} [writer] Writer to encode to
             * @returns {$protobuf.Writer} Writer
             */
            StreamHello.encode = function encode(message, writer, q) {
                if (!writer)
                    writer = $Writer.create();
                if (q === undefined)
                    q = 0;
                if (q > $util.recursionLimit)
                    throw Error("max depth exceeded");
                if (message.version != null && Object.hasOwnProperty.call(message, "version"))
                    writer.uint32(/* id 1, wireType 2 =*/10).string(message.version);
                if (message.startId != null && Object.hasOwnProperty.call(message, "startId"))
                    writer.uint32(/* id 2, wireType 2 =*/18).string(message.startId);
                if (message.callsMax != null && Object.hasOwnProperty.call(message, "callsMax"))
                    writer.uint32(/* id 3, wireType 0 =*/24).uint32(message.callsMax);
                if (message.messageBytesMax != null && Object.hasOwnProperty.call(message, "messageBytesMax"))
                    writer.uint32(/* id 4, wireType 0 =*/32).uint64(message.messageBytesMax);
                if (message.paramsBytesMax != null && Object.hasOwnProperty.call(message, "paramsBytesMax"))
                    writer.uint32(/* id 5, wireType 0 =*/40).uint64(message.paramsBytesMax);
                if (message.silenceMs != null && Object.hasOwnProperty.call(message, "silenceMs"))
                    writer.uint32(/* id 6, wireType 0 =*/48).uint32(message.silenceMs);
                if (message.saysClockRead != null && Object.hasOwnProperty.call(message, "saysClockRead"))
                    writer.uint32(/* id 7, wireType 0 =*/56).bool(message.saysClockRead);
                return writer;
            };

            /**
             * Decodes a StreamHello message from the specified reader or buffer.
             * @function decode
             * @memberof toolwire.v1.StreamHello
             * @static
             * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
             * @param {number} [length] Message length if known beforehand
             * @returns {toolwire.v1.StreamHello} StreamHello
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            StreamHello.decode = function decode(reader, length, error, long) {
                if (!(reader instanceof $Reader))
                    reader = $Reader.create(reader);
                if (long === undefined)
                    long = 0;
                if (long > $Reader.recursionLimit)
                    throw Error("maximum nesting depth exceeded");
                var end, message;
                if (length === undefined)
                    end = reader.len;
                else {
                    end = reader.pos + length;
                    if (end > reader.len)
                        throw RangeError("index out of range");
                    length = reader.len;
                    reader.len = end;
                }
                message = new $root.toolwire.v1.StreamHello();
                while (reader.pos < end) {
                    var tag = reader.uint32();
                    if (tag === error)
                        break;
                    switch (tag >>> 3) {
                    case 1: {
                            message.version = reader.string();
                            break;
                        }
                    case 2: {
                            message.startId = reader.string();
                            break;
                        }
                    case 3: {
                            message.callsMax = reader.uint32();
                            break;
                        }
                    case 4: {
                            message.messageBytesMax = reader.uint64();
                            break;
                        }
                    case 5: {
                            message.paramsBytesMax = reader.uint64();
                            break;
                        }
                    case 6: {
                            message.silenceMs = reader.uint32();
                            break;
                        }
                    case 7: {
                            message.saysClockRead = reader.bool();
                            break;
                        }
                    default:
                        reader.skipType(tag & 7, long);
                        break;
                    }
                }
                if (length !== undefined) {
                    if (reader.pos !== end)
                        throw RangeError("index out of range");
                    reader.len = length;
                }
                return message;
            };

            return StreamHello;
        })();

        v1.DispatchAnswer = (function() {

            /**
             * Properties of a DispatchAnswer.
             * @memberof toolwire.v1
             * @interface IDispatchAnswer
             * @property {number|Long|null} [id] DispatchAnswer id
             * @property {toolwire.v1.ICallToolResponse|null} [response] DispatchAnswer response
             * @property {toolwire.v1.ICallFailure|null} [failure] DispatchAnswer failure
             */

            /**
             * Constructs a new DispatchAnswer.
             * @memberof toolwire.v1
             * @classdesc Represents a DispatchAnswer.
             * @implements IDispatchAnswer
             * @constructor
             * @param {toolwire.v1.IDispatchAnswer=} [properties] Properties to set
             */
            function DispatchAnswer(properties) {
                if (properties)
                    for (var keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                        if (properties[keys[i]] != null && keys[i] !== "__proto__")
                            this[keys[i]] = properties[keys[i]];
            }

            /**
             * DispatchAnswer id.
             * @member {number|Long} id
             * @memberof toolwire.v1.DispatchAnswer
             * @instance
             */
            DispatchAnswer.prototype.id = $util.Long ? $util.Long.fromBits(0,0,true) : 0;

            /**
             * DispatchAnswer response.
             * @member {toolwire.v1.ICallToolResponse|null|undefined} response
             * @memberof toolwire.v1.DispatchAnswer
             * @instance
             */
            DispatchAnswer.prototype.response = null;

            /**
             * DispatchAnswer failure.
             * @member {toolwire.v1.ICallFailure|null|undefined} failure
             * @memberof toolwire.v1.DispatchAnswer
             * @instance
             */
            DispatchAnswer.prototype.failure = null;

            // OneOf field names bound to virtual getters and setters
            var $oneOfFields;

            /**
             * DispatchAnswer outcome.
             * @member {"response"|"failure"|undefined} outcome
             * @memberof toolwire.v1.DispatchAnswer
             * @instance
             */
            Object.defineProperty(DispatchAnswer.prototype, "outcome", {
                get: $util.oneOfGetter($oneOfFields = ["response", "failure"]),
                set: $util.oneOfSetter($oneOfFields)
            });

            /**
             * Encodes the specified DispatchAnswer message. Does not implicitly {@link toolwire.v1.DispatchAnswer.verify|verify} messages.
             * @function encode
             * @memberof toolwire.v1.DispatchAnswer
             * @static
             * @param {toolwire.v1.IDispatchAnswer} message DispatchAnswer message or plain object to encode
             * @param {$protobuf.Writer} [writer] Writer to encode to
             * @returns {$protobuf.Writer} Writer
             */
            DispatchAnswer.encode = function encode(message, writer, q) {
                if (!writer)
                    writer = $Writer.create();
                if (q === undefined)
                    q = 0;
                if (q > $util.recursionLimit)
                    throw Error("max depth exceeded");
                if (message.id != null && Object.hasOwnProperty.call(message, "id"))
                    writer.uint32(/* id 1, wireType 0 =*/8).uint64(message.id);
                if (message.response != null && Object.hasOwnProperty.call(message, "response"))
                    $root.toolwire.v1.CallToolResponse.encode(message.response, writer.uint32(/* id 2, wireType 2 =*/18).fork(), q + 1).ldelim();
                if (message.failure != null && Object.hasOwnProperty.call(message, "failure"))
                    $root.toolwire.v1.CallFailure.encode(message.failure, writer.uint32(/* id 3, wireType 2 =*/26).fork(), q + 1).ldelim();
                return writer;
            };

            /**
             * Decodes a DispatchAnswer message from the specified reader or buffer.
             * @function decode
             * @memberof toolwire.v1.DispatchAnswer
             * @static
             * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
             * @param {number} [length] Message length if known beforehand
             * @returns {toolwire.v1.DispatchAnswer} DispatchAnswer
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            DispatchAnswer.decode = function decode(reader, length, error, long) {
                if (!(reader instanceof $Reader))
                    reader = $Reader.create(reader);
                if (long === undefined)
                    long = 0;
                if (long > $Reader.recursionLimit)
                    throw Error("maximum nesting depth exceeded");
                var end, message;
                if (length === undefined)
                    end = reader.len;
                else {
                    end = reader.pos + length;
                    if (end > reader.len)
                        throw RangeError("index out of range");
                    length = reader.len;
                    reader.len = end;
                }
                message = new $root.toolwire.v1.DispatchAnswer();
                while (reader.pos < end) {
                    var tag = reader.uint32();
                    if (tag === error)
                        break;
                    switch (tag >>> 3) {
                    case 1: {
                            message.id = reader.uint64();
                            break;
                        }
                    case 2: {
                            message.response = $root.toolwire.v1.CallToolResponse.decode(reader, reader.uint32(), undefined, long + 1);
                            break;
                        }
                    case 3: {
                            message.failure = $root.toolwire.v1.CallFailure.decode(reader, reader.uint32(), undefined, long + 1);
                            break;
                        }
                    default:
                        reader.skipType(tag & 7, long);
                        break;
                    }
                }
                if (length !== undefined) {
                    if (reader.pos !== end)
                        throw RangeError("index out of range");
                    reader.len = length;
                }
                return message;
            };

            return DispatchAnswer;
        })();

        v1.GetAgentRequest = (function() {

            /**
             * Properties of a GetAgentRequest.
             * @memberof toolwire.v1
             * @interface IGetAgentRequest
             * @property {string|null} [userId] GetAgentRequest userId
             */

            /**
             * Constructs a new GetAgentRequest.
             * @memberof toolwire.v1
             * @classdesc Represents a GetAgentRequest.
             * @implements IGetAgentRequest
             * @constructor
             * @param {toolwire.v1.IGetAgentRequest=} [properties] Properties to set
             */
            function GetAgentRequest(properties) {
                if (properties)
                    for (var keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                        if (properties[keys[i]] != null && keys[i] !== "__proto__")
                            this[keys[i]] = properties[keys[i]];
            }

            /**
             * GetAgentRequest userId.
             * @member {string} userId
             * @memberof toolwire.v1.GetAgentRequest
             * @instance
             */
            GetAgentRequest.prototype.userId = "";

            /**
             * Encodes the specified GetAgentRequest message. Does not implicitly {@link toolwire.v1.GetAgentRequest.verify|verify} messages.
             * @function encode
             * @memberof toolwire.v1.GetAgentRequest
             * @static
             * @param {toolwire.v1.IGetAgentRequest} message GetAgentRequest message or plain object to encode
             * @param {$protobuf.Writer} [writer] Writer to encode to
             * @returns {$protobuf.Writer} Writer
             */
            GetAgentRequest.encode = function encode(message, writer, q) {
                if (!writer)
                    writer = $Writer.create();
                if (q === undefined)
                    q = 0;
                if (q > $util.recursionLimit)
                    throw Error("max depth exceeded");
                if (message.userId != null && Object.hasOwnProperty.call(message, "userId"))
                    writer.uint32(/* id 1, wireType 2 =*/10).string(message.userId);
                return writer;
            };

            /**
             * Decodes a GetAgentRequest message from the specified reader or buffer.
             * @function decode
             * @memberof toolwire.v1.GetAgentRequest
             * @static
             * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
             * @param {number} [length] Message length if known beforehand
             * @returns {toolwire.v1.GetAgentRequest} GetAgentRequest
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            GetAgentRequest.decode = function decode(reader, length, error, long) {
                if (!(reader instanceof $Reader))
                    reader = $Reader.create(reader);
                if (long === undefined)
                    long = 0;
                if (long > $Reader.recursionLimit)
                    throw Error("maximum nesting depth exceeded");
                var end, message;
                if (length === undefined)
                    end = reader.len;
                else {
                    end = reader.pos + length;
                    if (end > reader.len)
                        throw RangeError("index out of range");
                    length = reader.len;
                    reader.len = end;
                }
                message = new $root.toolwire.v1.GetAgentRequest();
                while (reader.pos < end) {
                    var tag = reader.uint32();
                    if (tag === error)
                        break;
                    switch (tag >>> 3) {
                    case 1: {
                            message.userId = reader.string();
                            break;
                        }
                    default:
                        reader.skipType(tag & 7, long);
                        break;
                    }
                }
                if (length !== undefined) {
                    if (reader.pos !== end)
                        throw RangeError("index out of range");
                    reader.len = length;
                }
                return message;
            };

            return GetAgentRequest;
        })();

        v1.Agent = (function() {

            /**
             * Properties of an Agent.
             * @memberof toolwire.v1
             * @interface IAgent
             * @property {string|null} [userId] Agent userId
             * @property {boolean|null} [connected] Agent connected
             * @property {string|null} [serverId] Agent serverId
             * @property {number|Long|null} [epoch] Agent epoch
             * @property {google.protobuf.ITimestamp|null} [connectedAt] Agent connectedAt
             */

            /**
             * Constructs a new Agent.
             * @memberof toolwire.v1
             * @classdesc Represents an Agent.
             * @implements IAgent
             * @constructor
             * @param {toolwire.v1.IAgent=} [properties] Properties to set
             */
            function Agent(properties) {
                if (properties)
                    for (var keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                        if (properties[keys[i]] != null && keys[i] !== "__proto__")
                            this[keys[i]] = properties[keys[i]];
            }

            /**
             * Agent userId.
             * @member {string} userId
             * @memberof toolwire.v1.Agent
             * @instance
             */
            Agent.prototype.userId = "";

            /**
             * Agent connected.
             * @member {boolean} connected
             * @memberof toolwire.v1.Agent
             * @instance
             */
            Agent.prototype.connected = false;

            /**
             * Agent serverId.
             * @member {string} serverId
             * @memberof toolwire.v1.Agent
             * @instance
             */
            Agent.prototype.serverId = "";

            /**
             * Agent epoch.
             * @member {number|Long} epoch
             * @memberof toolwire.v1.Agent
             * @instance
             */
            Agent.prototype.epoch = $util.Long ? $util.Long.fromBits(0,0,true) : 0;

            /**
             * Agent connectedAt.
             * @member {google.protobuf.ITimestamp|null|undefined} connectedAt
             * @memberof toolwire.v1.Agent
             * @instance
             */
            Agent.prototype.connectedAt = null;

            /**
             * Encodes the specified Agent message. Does not implicitly {@link toolwire.v1.Agent.verify|verify} messages.
             * @function encode
             * @memberof toolwire.v1.Agent
             * @static
             * @param {toolwire.v1.IAgent} message Agent message or plain object to encode
             * @param {$protobuf.Writer} [writer] Writer to encode to
             * @returns {$protobuf.Writer} Writer
             */
            Agent.encode = function encode(message, writer, q) {
                if (!writer)
                    writer = $Writer.create();
                if (q === undefined)
                    q = 0;
                if (q > $util.recursionLimit)
                    throw Error("max depth exceeded");
                if (message.userId != null && Object.hasOwnProperty.call(message, "userId"))
                    writer.uint32(/* id 1, wireType 2 =*/10).string(message.userId);
                if (message.connected != null && Object.hasOwnProperty.call(message, "connected"))
                    writer.uint32(/* id 2, wireType 0 =*/16).bool(message.connected);
                if (message.serverId != null && Object.hasOwnProperty.call(message, "serverId"))
                    writer.uint32(/* id 3, wireType 2 =*/26).string(message.serverId);
                if (message.epoch != null && Object.hasOwnProperty.call(message, "epoch"))
                    writer.uint32(/* id 4, wireType 0 =*/32).uint64(message.epoch);
                if (message.connectedAt != null && Object.hasOwnProperty.call(message, "connectedAt"))
                    $root.google.protobuf.Timestamp.encode(message.connectedAt, writer.uint32(/* id 5, wireType 2 =*/42).fork(), q + 1).ldelim();
                return writer;
            };

            /**
             * Decodes an Agent message from the specified reader or buffer.
             * @function decode
             * @memberof toolwire.v1.Agent
             * @static
             * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
             * @param {number} [length] Message length if known beforehand
             * @returns {toolwire.v1.Agent} Agent
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            Agent.decode = function decode(reader, length, error, long) {
                if (!(reader instanceof $Reader))
                    reader = $Reader.create(reader);
                if (long === undefined)
                    long = 0;
                if (long > $Reader.recursionLimit)
                    throw Error("maximum nesting depth exceeded");
                var end, message;
                if (length === undefined)
                    end = reader.len;
                else {
                    end = reader.pos + length;
                    if (end > reader.len)
                        throw RangeError("index out of range");
                    length = reader.len;
                    reader.len = end;
                }
                message = new $root.toolwire.v1.Agent();
                while (reader.pos < end) {
                    var tag = reader.uint32();
                    if (tag === error)
                        break;
                    switch (tag >>> 3) {
                    case 1: {
                            message.userId = reader.string();
                            break;
                        }
                    case 2: {
                            message.connected = reader.bool();
                            break;
                        }
                    case 3: {
                            message.serverId = reader.string();
                            break;
                        }
                    case 4: {
                            message.epoch = reader.uint64();
                            break;
                        }
                    case 5: {
                            message.connectedAt = $root.google.protobuf.Timestamp.decode(reader, reader.uint32(), undefined, long + 1);
                            break;
                        }
                    default:
                        reader.skipType(tag & 7, long);
                        break;
                    }
                }
                if (length !== undefined) {
                    if (reader.pos !== end)
                        throw RangeError("index out of range");
                    reader.len = length;
                }
                return message;
            };

            return Agent;
        })();

        v1.ListAgentsRequest = (function() {

            /**
             * Properties of a ListAgentsRequest.
             * @memberof toolwire.v1
             * @interface IListAgentsRequest
             * @property {number|null} [pageSize] ListAgentsRequest pageSize
             * @property {string|null} [pageToken] ListAgentsRequest pageToken
             * @property {string|null} [serverId] ListAgentsRequest serverId
             */

            /**
             * Constructs a new ListAgentsRequest.
             * @memberof toolwire.v1
             * @classdesc Represents a ListAgentsRequest.
             * @implements IListAgentsRequest
             * @constructor
             * @param {toolwire.v1.IListAgentsRequest=} [properties] Properties to set
             */
            function ListAgentsRequest(properties) {
                if (properties)
                    for (var keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                        if (properties[keys[i]] != null && keys[i] !== "__proto__")
                            this[keys[i]] = properties[keys[i]];
            }

            /**
             * ListAgentsRequest pageSize.
             * @member {number} pageSize
             * @memberof toolwire.v1.ListAgentsRequest
             * @instance
             */
            ListAgentsRequest.prototype.pageSize = 0;

            /**
             * ListAgentsRequest pageToken.
             * @member {string} pageToken
             * @memberof toolwire.v1.ListAgentsRequest
             * @instance
             */
            ListAgentsRequest.prototype.pageToken = "";

            /**
             * ListAgentsRequest serverId.
             * @member {string} serverId
             * @memberof toolwire.v1.ListAgentsRequest
             * @instance
             */
            ListAgentsRequest.prototype.serverId = "";

            /**
             * Encodes the specified ListAgentsRequest message. Does not implicitly {@link toolwire.v1.ListAgentsRequest.verify|verify} messages.
             * @function encode
             * @memberof toolwire.v1.ListAgentsRequest
             * @static
             * @param {toolwire.v1.IListAgentsRequest} message ListAgentsRequest message or plain object to encode
             * @param {$protobuf.Writer} [writer] Writer to encode to
             * @returns {$protobuf.Writer} Writer
             */
            ListAgentsRequest.encode = function encode(message, writer, q) {
                if (!writer)
                    writer = $Writer.create();
                if (q === undefined)
                    q = 0;
                if (q > $util.recursionLimit)
                    throw Error("max depth exceeded");
                if (message.pageSize != null && Object.hasOwnProperty.call(message, "pageSize"))
                    writer.uint32(/* id 1, wireType 0 =*/8).int32(message.pageSize);
                if (message.pageToken != null && Object.hasOwnProperty.call(message, "pageToken"))
                    writer.uint32(/* id 2, wireType 2 =*/18).string(message.pageToken);
                if (message.serverId != null && Object.hasOwnProperty.call(message, "serverId"))
                    writer.uint32(/* id 3, wireType 2 =*/26).string(message.serverId);
                return writer;
            };

            /**
             * Decodes a ListAgentsRequest message from the specified reader or buffer.
             * @function decode
             * @memberof toolwire.v1.ListAgentsRequest
             * @static
             * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
             * @param {number} [length] Message length if known beforehand
             * @returns {toolwire.v1.ListAgentsRequest} ListAgentsRequest
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            ListAgentsRequest.decode = function decode(reader, length, error, long) {
                if (!(reader instanceof $Reader))
                    reader = $Reader.create(reader);
                if (long === undefined)
                    long = 0;
                if (long > $Reader.recursionLimit)
                    throw Error("maximum nesting depth exceeded");
                var end, message;
                if (length === undefined)
                    end = reader.len;
                else {
                    end = reader.pos + length;
                    if (end > reader.len)
                        throw RangeError("index out of range");
                    length = reader.len;
                    reader.len = end;
                }
                message = new $root.toolwire.v1.ListAgentsRequest();
                while (reader.pos < end) {
                    var tag = reader.uint32();
                    if (tag === error)
                        break;
                    switch (tag >>> 3) {
                    case 1: {
                            message.pageSize = reader.int32();
                            break;
                        }
                    case 2: {
                            message.pageToken = reader.string();
                            break;
                        }
                    case 3: {
                            message.serverId = reader.string();
                            break;
                        }
                    default:
                        reader.skipType(tag & 7, long);
                        break;
                    }
                }
                if (length !== undefined) {
                    if (reader.pos !== end)
                        throw RangeError("index out of range");
                    reader.len = length;
                }
                return message;
            };

            return ListAgentsRequest;
        })();

        v1.ListAgentsResponse = (function() {

            /**
             * Properties of a ListAgentsResponse.
             * @memberof toolwire.v1
             * @interface IListAgentsResponse
             * @property {Array.<toolwire.v1.IAgent>|null} [agents] ListAgentsResponse agents
             * @property {string|null} [nextPageToken] ListAgentsResponse nextPageToken
             * @property {number|Long|null} [totalConnected] ListAgentsResponse totalConnected
             */

            /**
             * Constructs a new ListAgentsResponse.
             * @memberof toolwire.v1
             * @classdesc Represents a ListAgentsResponse.
             * @implements IListAgentsResponse
             * @constructor
             * @param {toolwire.v1.IListAgentsResponse=} [properties] Properties to set
             */
            function ListAgentsResponse(properties) {
                this.agents = [];
                if (properties)
                    for (var keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                        if (properties[keys[i]] != null && keys[i] !== "__proto__")
                            this[keys[i]] = properties[keys[i]];
            }

            /**
             * ListAgentsResponse agents.
             * @member {Array.<toolwire.v1.IAgent>} agents
             * @memberof toolwire.v1.ListAgentsResponse
             * @instance
             */
            ListAgentsResponse.prototype.agents = $util.emptyArray;

            /**
             * ListAgentsResponse nextPageToken.
             * @member {string} nextPageToken
             * @memberof toolwire.v1.ListAgentsResponse
             * @instance
             */
            ListAgentsResponse.prototype.nextPageToken = "";

            /**
             * ListAgentsResponse totalConnected.
             * @member {number|Long} totalConnected
             * @memberof toolwire.v1.ListAgentsResponse
             * @instance
             */
            ListAgentsResponse.prototype.totalConnected = $util.Long ? $util.Long.fromBits(0,0,false) : 0;

            /**
             * Encodes the specified ListAgentsResponse message. Does not implicitly {@link toolwire.v1.ListAgentsResponse.verify|verify} messages.
             * @function encode
             * @memberof toolwire.v1.ListAgentsResponse
             * @static
             * @param {toolwire.v1.IListAgentsResponse} message ListAgentsResponse message or plain object to encode
             * @param {$protobuf.Writer} [writer] Writer to encode to
             * @returns {$protobuf.Writer} Writer
             */
            ListAgentsResponse.encode = function encode(message, writer, q) {
                if (!writer)
                    writer = $Writer.create();
                if (q === undefined)
                    q = 0;
                if (q > $util.recursionLimit)
                    throw Error("max depth exceeded");
                if (message.agents != null && message.agents.length)
                    for (var i = 0; i < message.agents.length; ++i)
                        $root.toolwire.v1.Agent.encode(message.agents[i], writer.uint32(/* id 1, wireType 2 =*/10).fork(), q + 1).ldelim();
                if (message.nextPageToken != null && Object.hasOwnProperty.call(message, "nextPageToken"))
                    writer.uint32(/* id 2, wireType 2 =*/18).string(message.nextPageToken);
                if (message.totalConnected != null && Object.hasOwnProperty.call(message, "totalConnected"))
                    writer.uint32(/* id 3, wireType 0 =*/24).int64(message.totalConnected);
                return writer;
            };

            /**
             * Decodes a ListAgentsResponse message from the specified reader or buffer.
             * @function decode
             * @memberof toolwire.v1.ListAgentsResponse
             * @static
             * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
             * @param {number} [length] Message length if known beforehand
             * @returns {toolwire.v1.ListAgentsResponse} ListAgentsResponse
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            ListAgentsResponse.decode = function decode(reader, length, error, long) {
                if (!(reader instanceof $Reader))
                    reader = $Reader.create(reader);
                if (long === undefined)
                    long = 0;
                if (long > $Reader.recursionLimit)
                    throw Error("maximum nesting depth exceeded");
                var end, message;
                if (length === undefined)
                    end = reader.len;
                else {
                    end = reader.pos + length;
                    if (end > reader.len)
                        throw RangeError("index out of range");
                    length = reader.len;
                    reader.len = end;
                }
                message = new $root.toolwire.v1.ListAgentsResponse();
                while (reader.pos < end) {
                    var tag = reader.uint32();
                    if (tag === error)
                        break;
                    switch (tag >>> 3) {
                    case 1: {
                            if (!(message.agents && message.agents.length))
                                message.agents = [];
                            message.agents.push($root.toolwire.v1.Agent.decode(reader, reader.uint32(), undefined, long + 1));
                            break;
                        }
                    case 2: {
                            message.nextPageToken = reader.string();
                            break;
                        }
                    case 3: {
                            message.totalConnected = reader.int64();
                            break;
                        }
                    default:
                        reader.skipType(tag & 7, long);
                        break;
                    }
                }
                if (length !== undefined) {
                    if (reader.pos !== end)
                        throw RangeError("index out of range");
                    reader.len = length;
                }
                return message;
            };

            return ListAgentsResponse;
        })();

        v1.WatchAgentsRequest = (function() {

            /**
             * Properties of a WatchAgentsRequest.
             * @memberof toolwire.v1
             * @interface IWatchAgentsRequest
             * @property {Array.<string>|null} [userIds] WatchAgentsRequest userIds
             */

            /**
             * Constructs a new WatchAgentsRequest.
             * @memberof toolwire.v1
             * @classdesc Represents a WatchAgentsRequest.
             * @implements IWatchAgentsRequest
             * @constructor
             * @param {toolwire.v1.IWatchAgentsRequest=} [properties] Properties to set
             */
            function WatchAgentsRequest(properties) {
                this.userIds = [];
                if (properties)
                    for (var keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                        if (properties[keys[i]] != null && keys[i] !== "__proto__")
                            this[keys[i]] = properties[keys[i]];
            }

            /**
             * WatchAgentsRequest userIds.
             * @member {Array.<string>} userIds
             * @memberof toolwire.v1.WatchAgentsRequest
             * @instance
             */
            WatchAgentsRequest.prototype.userIds = $util.emptyArray;

            /**
             * Encodes the specified WatchAgentsRequest message. Does not implicitly {@link toolwire.v1.WatchAgentsRequest.verify|verify} messages.
             * @function encode
             * @memberof toolwire.v1.WatchAgentsRequest
             * @static
             * @param {toolwire.v1.IWatchAgentsRequest} message WatchAgentsRequest message or plain object to encode
             * @param {$protobuf.Writer} [writer] Writer to encode to
             * @returns {$protobuf.Writer} Writer
             */
            WatchAgentsRequest.encode = function encode(message, writer, q) {
                if (!writer)
                    writer = $Writer.create();
                if (q === undefined)
                    q = 0;
                if (q > $util.recursionLimit)
                    throw Error("max depth exceeded");
                if (message.userIds != null && message.userIds.length)
                    for (var i = 0; i < message.userIds.length; ++i)
                        writer.uint32(/* id 1, wireType 2 =*/10).string(message.userIds[i]);
                return writer;
            };

            /**
             * Decodes a WatchAgentsRequest message from the specified reader or buffer.
             * @function decode
             * @memberof toolwire.v1.WatchAgentsRequest
             * @static
             * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
             * @param {number} [length] Message length if known beforehand
             * @returns {toolwire.v1.WatchAgentsRequest} WatchAgentsRequest
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            WatchAgentsRequest.decode = function decode(reader, length, error, long) {
                if (!(reader instanceof $Reader))
                    reader = $Reader.create(reader);
                if (long === undefined)
                    long = 0;
                if (long > $Reader.recursionLimit)
                    throw Error("maximum nesting depth exceeded");
                var end, message;
                if (length === undefined)
                    end = reader.len;
                else {
                    end = reader.pos + length;
                    if (end > reader.len)
                        throw RangeError("index out of range");
                    length = reader.len;
                    reader.len = end;
                }
                message = new $root.toolwire.v1.WatchAgentsRequest();
                while (reader.pos < end) {
                    var tag = reader.uint32();
                    if (tag === error)
                        break;
                    switch (tag >>> 3) {
                    case 1: {
                            if (!(message.userIds && message.userIds.length))
                                message.userIds = [];
                            message.userIds.push(reader.string());
                            break;
                        }
                    default:
                        reader.skipType(tag & 7, long);
                        break;
                    }
                }
                if (length !== undefined) {
                    if (reader.pos !== end)
                        throw RangeError("index out of range");
                    reader.len = length;
                }
                return message;
            };

            return WatchAgentsRequest;
        })();

        v1.FollowRequest = (function() {

            /**
             * Properties of a FollowRequest.
             * @memberof toolwire.v1
             * @interface IFollowRequest
             * @property {Array.<string>|null} [add] FollowRequest add
             * @property {Array.<string>|null} [remove] FollowRequest remove
             */

            /**
             * Constructs a new FollowRequest.
             * @memberof toolwire.v1
             * @classdesc Represents a FollowRequest.
             * @implements IFollowRequest
             * @constructor
             * @param {toolwire.v1.IFollowRequest=} [properties] Properties to set
             */
            function FollowRequest(properties) {
                this.add = [];
                this.remove = [];
                if (properties)
                    for (var keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                        if (properties[keys[i]] != null && keys[i] !== "__proto__")
                            this[keys[i]] = properties[keys[i]];
            }

            /**
             * FollowRequest add.
             * @member {Array.<string>} add
             * @memberof toolwire.v1.FollowRequest
             * @instance
             */
            FollowRequest.prototype.add = $util.emptyArray;

            /**
             * FollowRequest remove.
             * @member {Array.<string>} remove
             * @memberof toolwire.v1.FollowRequest
             * @instance
             */
            FollowRequest.prototype.remove = $util.emptyArray;

            /**
             * Encodes the specified FollowRequest message. Does not implicitly {@link toolwire.v1.FollowRequest.verify|verify} messages.
             * @function encode
             * @memberof toolwire.v1.FollowRequest
             * @static
             * @param {toolwire.v1.IFollowRequest} message FollowRequest message or plain object to encode
             * @param {$protobuf.Writer} [writer] Writer to encode to
             * @returns {$protobuf.Writer} Writer
             */
            FollowRequest.encode = function encode(message, writer, q) {
                if (!writer)
                    writer = $Writer.create();
                if (q === undefined)
                    q = 0;
                if (q > $util.recursionLimit)
                    throw Error("max depth exceeded");
                if (message.add != null && message.add.length)
                    for (var i = 0; i < message.add.length; ++i)
                        writer.uint32(/* id 1, wireType 2 =*/10).string(message.add[i]);
                if (message.remove != null && message.remove.length)
                    for (var i = 0; i < message.remove.length; ++i)
                        writer.uint32(/* id 2, wireType 2 =*/18).string(message.remove[i]);
                return writer;
            };

            /**
             * Decodes a FollowRequest message from the specified reader or buffer.
             * @function decode
             * @memberof toolwire.v1.FollowRequest
             * @static
             * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
             * @param {number} [length] Message length if known beforehand
             * @returns {toolwire.v1.FollowRequest} FollowRequest
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            FollowRequest.decode = function decode(reader, length, error, long) {
                if (!(reader instanceof $Reader))
                    reader = $Reader.create(reader);
                if (long === undefined)
                    long = 0;
                if (long > $Reader.recursionLimit)
                    throw Error("maximum nesting depth exceeded");
                var end, message;
                if (length === undefined)
                    end = reader.len;
                else {
                    end = reader.pos + length;
                    if (end > reader.len)
                        throw RangeError("index out of range");
                    length = reader.len;
                    reader.len = end;
                }
                message = new $root.toolwire.v1.FollowRequest();
                while (reader.pos < end) {
                    var tag = reader.uint32();
                    if (tag === error)
                        break;
                    switch (tag >>> 3) {
                    case 1: {
                            if (!(message.add && message.add.length))
                                message.add = [];
                            message.add.push(reader.string());
                            break;
                        }
                    case 2: {
                            if (!(message.remove && message.remove.length))
                                message.remove = [];
                            message.remove.push(reader.string());
                            break;
                        }
                    default:
                        reader.skipType(tag & 7, long);
                        break;
                    }
                }
                if (length !== undefined) {
                    if (reader.pos !== end)
                        throw RangeError("index out of range");
                    reader.len = length;
                }
                return message;
            };

            return FollowRequest;
        })();

        v1.WatchAgentsResponse = (function() {

            /**
             * Properties of a WatchAgentsResponse.
             * @memberof toolwire.v1
             * @interface IWatchAgentsResponse
             * @property {Array.<toolwire.v1.WatchAgentsResponse.IEvent>|null} [events] WatchAgentsResponse events
             * @property {toolwire.v1.IStreamHello|null} [hello] WatchAgentsResponse hello
             */

            /**
             * Constructs a new WatchAgentsResponse.
             * @memberof toolwire.v1
             * @classdesc Represents a WatchAgentsResponse.
             * @implements IWatchAgentsResponse
             * @constructor
             * @param {toolwire.v1.IWatchAgentsResponse=} [properties] Properties to set
             */
            function WatchAgentsResponse(properties) {
                this.events = [];
                if (properties)
                    for (var keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                        if (properties[keys[i]] != null && keys[i] !== "__proto__")
                            this[keys[i]] = properties[keys[i]];
            }

            /**
             * WatchAgentsResponse events.
             * @member {Array.<toolwire.v1.WatchAgentsResponse.IEvent>} events
             * @memberof toolwire.v1.WatchAgentsResponse
             * @instance
             */
            WatchAgentsResponse.prototype.events = $util.emptyArray;

            /**
             * WatchAgentsResponse hello.
             * @member {toolwire.v1.IStreamHello|null|undefined} hello
             * @memberof toolwire.v1.WatchAgentsResponse
             * @instance
             */
            WatchAgentsResponse.prototype.hello = null;

            /**
             * Encodes the specified WatchAgentsResponse message. Does not implicitly {@link toolwire.v1.WatchAgentsResponse.verify|verify} messages.
             * @function encode
             * @memberof toolwire.v1.WatchAgentsResponse
             * @static
             * @param {toolwire.v1.IWatchAgentsResponse} message WatchAgentsResponse message or plain object to encode
             * @param {$protobuf.Writer} [writer] Writer to encode to
             * @returns {$protobuf.Writer} Writer
             */
            WatchAgentsResponse.encode = function encode(message, writer, q) {
                if (!writer)
                    writer = $Writer.create();
                if (q === undefined)
                    q = 0;
                if (q > $util.recursionLimit)
                    throw Error("max depth exceeded");
                if (message.events != null && message.events.length)
                    for (var i = 0; i < message.events.length; ++i)
                        $root.toolwire.v1.WatchAgentsResponse.Event.encode(message.events[i], writer.uint32(/* id 1, wireType 2 =*/10).fork(), q + 1).ldelim();
                if (message.hello != null && Object.hasOwnProperty.call(message, "hello"))
                    $root.toolwire.v1.StreamHello.encode(message.hello, writer.uint32(/* id 2, wireType 2 =*/18).fork(), q + 1).ldelim();
                return writer;
            };

            /**
             * Decodes a WatchAgentsResponse message from the specified reader or buffer.
             * @function decode
             * @memberof toolwire.v1.WatchAgentsResponse
             * @static
             * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
             * @param {number} [length] Message length if known beforehand
             * @returns {toolwire.v1.WatchAgentsResponse} WatchAgentsResponse
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            WatchAgentsResponse.decode = function decode(reader, length, error, long) {
                if (!(reader instanceof $Reader))
                    reader = $Reader.create(reader);
                if (long === undefined)
                    long = 0;
                if (long > $Reader.recursionLimit)
                    throw Error("maximum nesting depth exceeded");
                var end, message;
                if (length === undefined)
                    end = reader.len;
                else {
                    end = reader.pos + length;
                    if (end > reader.len)
                        throw RangeError("index out of range");
                    length = reader.len;
                    reader.len = end;
                }
                message = new $root.toolwire.v1.WatchAgentsResponse();
                while (reader.pos < end) {
                    var tag = reader.uint32();
                    if (tag === error)
                        break;
                    switch (tag >>> 3) {
                    case 1: {
                            if (!(message.events && message.events.length))
                                message.events = [];
                            message.events.push($root.toolwire.v1.WatchAgentsResponse.Event.decode(reader, reader.uint32(), undefined, long + 1));
                            break;
                        }
                    case 2: {
                            message.hello = $root.toolwire.v1.StreamHello.decode(reader, reader.uint32(), undefined, long + 1);
                            break;
                        }
                    default:
                        reader.skipType(tag & 7, long);
                        break;
                    }
                }
                if (length !== undefined) {
                    if (reader.pos !== end)
                        throw RangeError("index out of range");
                    reader.len = length;
                }
                return message;
            };

            /**
             * Kind enum.
             * @name toolwire.v1.WatchAgentsResponse.Kind
             * @enum {number}
             * @property {number} KIND_UNSPECIFIED=0 KIND_UNSPECIFIED value
             * @property {number} CONNECTED=1 CONNECTED value
             * @property {number} DISCONNECTED=2 DISCONNECTED value
             * @property {number} MOVED=3 MOVED value
             * @property {number} SNAPSHOT_COMPLETE=4 SNAPSHOT_COMPLETE value
             */
            WatchAgentsResponse.Kind = (function() {
                var valuesById = {}, values = Object.create(valuesById);
                values[valuesById[0] = "KIND_UNSPECIFIED"] = 0;
                values[valuesById[1] = "CONNECTED"] = 1;
                values[valuesById[2] = "DISCONNECTED"] = 2;
                values[valuesById[3] = "MOVED"] = 3;
                values[valuesById[4] = "SNAPSHOT_COMPLETE"] = 4;
                return values;
            })();

            WatchAgentsResponse.Event = (function() {

                /**
                 * Properties of an Event.
                 * @memberof toolwire.v1.WatchAgentsResponse
                 * @interface IEvent
                 * @property {toolwire.v1.WatchAgentsResponse.Kind|null} [kind] Event kind
                 * @property {toolwire.v1.IAgent|null} [agent] Event agent
                 */

                /**
                 * Constructs a new Event.
                 * @memberof toolwire.v1.WatchAgentsResponse
                 * @classdesc Represents an Event.
                 * @implements IEvent
                 * @constructor
                 * @param {toolwire.v1.WatchAgentsResponse.IEvent=} [properties] Properties to set
                 */
                function Event(properties) {
                    if (properties)
                        for (var keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                            if (properties[keys[i]] != null && keys[i] !== "__proto__")
                                this[keys[i]] = properties[keys[i]];
                }

                /**
                 * Event kind.
                 * @member {toolwire.v1.WatchAgentsResponse.Kind} kind
                 * @memberof toolwire.v1.WatchAgentsResponse.Event
                 * @instance
                 */
                Event.prototype.kind = 0;

                /**
                 * Event agent.
                 * @member {toolwire.v1.IAgent|null|undefined} agent
                 * @memberof toolwire.v1.WatchAgentsResponse.Event
                 * @instance
                 */
                Event.prototype.agent = null;

                /**
                 * Encodes the specified Event message. Does not implicitly {@link toolwire.v1.WatchAgentsResponse.Event.verify|verify} messages.
                 * @function encode
                 * @memberof toolwire.v1.WatchAgentsResponse.Event
                 * @static
                 * @param {toolwire.v1.WatchAgentsResponse.IEvent} message Event message or plain object to encode
                 * @param {$protobuf.Writer} [writer] Writer to encode to
                 * @returns {$protobuf.Writer} Writer
                 */
                Event.encode = function encode(message, writer, q) {
                    if (!writer)
                        writer = $Writer.create();
                    if (q === undefined)
                        q = 0;
                    if (q > $util.recursionLimit)
                        throw Error("max depth exceeded");
                    if (message.kind != null && Object.hasOwnProperty.call(message, "kind"))
                        writer.uint32(/* id 1, wireType 0 =*/8).int32(message.kind);
                    if (message.agent != null && Object.hasOwnProperty.call(message, "agent"))
                        $root.toolwire.v1.Agent.encode(message.agent, writer.uint32(/* id 2, wireType 2 =*/18).fork(), q + 1).ldelim();
                    return writer;
                };

                /**
                 * Decodes an Event message from the specified reader or buffer.
                 * @function decode
                 * @memberof toolwire.v1.WatchAgentsResponse.Event
                 * @static
                 * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
                 * @param {number} [length] Message length if known beforehand
                 * @returns {toolwire.v1.WatchAgentsResponse.Event} Event
                 * @throws {Error} If the payload is not a reader or valid buffer
                 * @throws {$protobuf.util.ProtocolError} If required fields are missing
                 */
                Event.decode = function decode(reader, length, error, long) {
                    if (!(reader instanceof $Reader))
                        reader = $Reader.create(reader);
                    if (long === undefined)
                        long = 0;
                    if (long > $Reader.recursionLimit)
                        throw Error("maximum nesting depth exceeded");
                    var end, message;
                    if (length === undefined)
                        end = reader.len;
                    else {
                        end = reader.pos + length;
                        if (end > reader.len)
                            throw RangeError("index out of range");
                        length = reader.len;
                        reader.len = end;
                    }
                    message = new $root.toolwire.v1.WatchAgentsResponse.Event();
                    while (reader.pos < end) {
                        var tag = reader.uint32();
                        if (tag === error)
                            break;
                        switch (tag >>> 3) {
                        case 1: {
                                message.kind = reader.int32();
                                break;
                            }
                        case 2: {
                                message.agent = $root.toolwire.v1.Agent.decode(reader, reader.uint32(), undefined, long + 1);
                                break;
                            }
                        default:
                            reader.skipType(tag & 7, long);
                            break;
                        }
                    }
                    if (length !== undefined) {
                        if (reader.pos !== end)
                            throw RangeError("index out of range");
                        reader.len = length;
                    }
                    return message;
                };

                return Event;
            })();

            return WatchAgentsResponse;
        })();

        v1.CallToolRequest = (function() {

            /**
             * Properties of a CallToolRequest.
             * @memberof toolwire.v1
             * @interface ICallToolRequest
             * @property {string|null} [userId] CallToolRequest userId
             * @property {string|null} [tool] CallToolRequest tool
             * @property {Uint8Array|null} [paramsJson] CallToolRequest paramsJson
             * @property {google.protobuf.IStruct|null} [params] CallToolRequest params
             * @property {string|null} [requestId] CallToolRequest requestId
             * @property {google.protobuf.IDuration|null} [timeout] CallToolRequest timeout
             */

            /**
             * Constructs a new CallToolRequest.
             * @memberof toolwire.v1
             * @classdesc Represents a CallToolRequest.
             * @implements ICallToolRequest
             * @constructor
             * @param {toolwire.v1.ICallToolRequest=} [properties] Properties to set
             */
            function CallToolRequest(properties) {
                if (properties)
                    for (var keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                        if (properties[keys[i]] != null && keys[i] !== "__proto__")
                            this[keys[i]] = properties[keys[i]];
            }

            /**
             * CallToolRequest userId.
             * @member {string} userId
             * @memberof toolwire.v1.CallToolRequest
             * @instance
             */
            CallToolRequest.prototype.userId = "";

            /**
             * CallToolRequest tool.
             * @member {string} tool
             * @memberof toolwire.v1.CallToolRequest
             * @instance
             */
            CallToolRequest.prototype.tool = "";

            /**
             * CallToolRequest paramsJson.
             * @member {Uint8Array} paramsJson
             * @memberof toolwire.v1.CallToolRequest
             * @instance
             */
            CallToolRequest.prototype.paramsJson = $util.newBuffer([]);

            /**
             * CallToolRequest params.
             * @member {google.protobuf.IStruct|null|undefined} params
             * @memberof toolwire.v1.CallToolRequest
             * @instance
             */
            CallToolRequest.prototype.params = null;

            /**
             * CallToolRequest requestId.
             * @member {string} requestId
             * @memberof toolwire.v1.CallToolRequest
             * @instance
             */
            CallToolRequest.prototype.requestId = "";

            /**
             * CallToolRequest timeout.
             * @member {google.protobuf.IDuration|null|undefined} timeout
             * @memberof toolwire.v1.CallToolRequest
             * @instance
             */
            CallToolRequest.prototype.timeout = null;

            /**
             * Encodes the specified CallToolRequest message. Does not implicitly {@link toolwire.v1.CallToolRequest.verify|verify} messages.
             * @function encode
             * @memberof toolwire.v1.CallToolRequest
             * @static
             * @param {toolwire.v1.ICallToolRequest} message CallToolRequest message or plain object to encode
             * @param {$protobuf.Writer} [writer] Writer to encode to
             * @returns {$protobuf.Writer} Writer
             */
            CallToolRequest.encode = function encode(message, writer, q) {
                if (!writer)
                    writer = $Writer.create();
                if (q === undefined)
                    q = 0;
                if (q > $util.recursionLimit)
                    throw Error("max depth exceeded");
                if (message.userId != null && Object.hasOwnProperty.call(message, "userId"))
                    writer.uint32(/* id 1, wireType 2 =*/10).string(message.userId);
                if (message.tool != null && Object.hasOwnProperty.call(message, "tool"))
                    writer.uint32(/* id 2, wireType 2 =*/18).string(message.tool);
                if (message.paramsJson != null && Object.hasOwnProperty.call(message, "paramsJson"))
                    writer.uint32(/* id 3, wireType 2 =*/26).bytes(message.paramsJson);
                if (message.params != null && Object.hasOwnProperty.call(message, "params"))
                    $root.google.protobuf.Struct.encode(message.params, writer.uint32(/* id 4, wireType 2 =*/34).fork(), q + 1).ldelim();
                if (message.requestId != null && Object.hasOwnProperty.call(message, "requestId"))
                    writer.uint32(/* id 5, wireType 2 =*/42).string(message.requestId);
                if (message.timeout != null && Object.hasOwnProperty.call(message, "timeout"))
                    $root.google.protobuf.Duration.encode(message.timeout, writer.uint32(/* id 6, wireType 2 =*/50).fork(), q + 1).ldelim();
                return writer;
            };

            /**
             * Decodes a CallToolRequest message from the specified reader or buffer.
             * @function decode
             * @memberof toolwire.v1.CallToolRequest
             * @static
             * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
             * @param {number} [length] Message length if known beforehand
             * @returns {toolwire.v1.CallToolRequest} CallToolRequest
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            CallToolRequest.decode = function decode(reader, length, error, long) {
                if (!(reader instanceof $Reader))
                    reader = $Reader.create(reader);
                if (long === undefined)
                    long = 0;
                if (long > $Reader.recursionLimit)
                    throw Error("maximum nesting depth exceeded");
                var end, message;
                if (length === undefined)
                    end = reader.len;
                else {
                    end = reader.pos + length;
                    if (end > reader.len)
                        throw RangeError("index out of range");
                    length = reader.len;
                    reader.len = end;
                }
                message = new $root.toolwire.v1.CallToolRequest();
                while (reader.pos < end) {
                    var tag = reader.uint32();
                    if (tag === error)
                        break;
                    switch (tag >>> 3) {
                    case 1: {
                            message.userId = reader.string();
                            break;
                        }
                    case 2: {
                            message.tool = reader.string();
                            break;
                        }
                    case 3: {
                            message.paramsJson = reader.bytes();
                            break;
                        }
                    case 4: {
                            message.params = $root.google.protobuf.Struct.decode(reader, reader.uint32(), undefined, long + 1);
                            break;
                        }
                    case 5: {
                            message.requestId = reader.string();
                            break;
                        }
                    case 6: {
                            message.timeout = $root.google.protobuf.Duration.decode(reader, reader.uint32(), undefined, long + 1);
                            break;
                        }
                    default:
                        reader.skipType(tag & 7, long);
                        break;
                    }
                }
                if (length !== undefined) {
                    if (reader.pos !== end)
                        throw RangeError("index out of range");
                    reader.len = length;
                }
                return message;
            };

            return CallToolRequest;
        })();

        v1.CallToolResponse = (function() {

            /**
             * Properties of a CallToolResponse.
             * @memberof toolwire.v1
             * @interface ICallToolResponse
             * @property {string|null} [requestId] CallToolResponse requestId
             * @property {boolean|null} [success] CallToolResponse success
             * @property {Uint8Array|null} [resultJson] CallToolResponse resultJson
             * @property {string|null} [error] CallToolResponse error
             * @property {google.protobuf.IValue|null} [result] CallToolResponse result
             * @property {number|Long|null} [executionTimeMs] CallToolResponse executionTimeMs
             * @property {boolean|null} [resultOmitted] CallToolResponse resultOmitted
             */

            /**
             * Constructs a new CallToolResponse.
             * @memberof toolwire.v1
             * @classdesc Represents a CallToolResponse.
             * @implements ICallToolResponse
             * @constructor
             * @param {toolwire.v1.ICallToolResponse=} [properties] Properties to set
             */
            function CallToolResponse(properties) {
                if (properties)
                    for (var keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                        if (properties[keys[i]] != null && keys[i] !== "__proto__")
                            this[keys[i]] = properties[keys[i]];
            }

            /**
             * CallToolResponse requestId.
             * @member {string} requestId
             * @memberof toolwire.v1.CallToolResponse
             * @instance
             */
            CallToolResponse.prototype.requestId = "";

            /**
             * CallToolResponse success.
             * @member {boolean} success
             * @memberof toolwire.v1.CallToolResponse
             * @instance
             */
            CallToolResponse.prototype.success = false;

            /**
             * CallToolResponse resultJson.
             * @member {Uint8Array} resultJson
             * @memberof toolwire.v1.CallToolResponse
             * @instance
             */
            CallToolResponse.prototype.resultJson = $util.newBuffer([]);

            /**
             * CallToolResponse error.
             * @member {string} error
             * @memberof toolwire.v1.CallToolResponse
             * @instance
             */
            CallToolResponse.prototype.error = "";

            /**
             * CallToolResponse result.
             * @member {google.protobuf.IValue|null|undefined} result
             * @memberof toolwire.v1.CallToolResponse
             * @instance
             */
            CallToolResponse.prototype.result = null;

            /**
             * CallToolResponse executionTimeMs.
             * @member {number|Long|null|undefined} executionTimeMs
             * @memberof toolwire.v1.CallToolResponse
             * @instance
             */
            CallToolResponse.prototype.executionTimeMs = null;

            /**
             * CallToolResponse resultOmitted.
             * @member {boolean} resultOmitted
             * @memberof toolwire.v1.CallToolResponse
             * @instance
             */
            CallToolResponse.prototype.resultOmitted = false;

            // OneOf field names bound to virtual getters and setters
            var $oneOfFields;

            // Virtual OneOf for proto3 optional field
            Object.defineProperty(CallToolResponse.prototype, "_executionTimeMs", {
                get: $util.oneOfGetter($oneOfFields = ["executionTimeMs"]),
                set: $util.oneOfSetter($oneOfFields)
            });

            /**
             * Encodes the specified CallToolResponse message. Does not implicitly {@link toolwire.v1.CallToolResponse.verify|verify} messages.
             * @function encode
             * @memberof toolwire.v1.CallToolResponse
             * @static
             * @param {toolwire.v1.ICallToolResponse} message CallToolResponse message or plain object to encode
             * @param {$protobuf.Writer} [writer] Writer to encode to
             * @returns {$protobuf.Writer} Writer
             */
            CallToolResponse.encode = function encode(message, writer, q) {
                if (!writer)
                    writer = $Writer.create();
                if (q === undefined)
                    q = 0;
                if (q > $util.recursionLimit)
                    throw Error("max depth exceeded");
                if (message.requestId != null && Object.hasOwnProperty.call(message, "requestId"))
                    writer.uint32(/* id 1, wireType 2 =*/10).string(message.requestId);
                if (message.success != null && Object.hasOwnProperty.call(message, "success"))
                    writer.uint32(/* id 2, wireType 0 =*/16).bool(message.success);
                if (message.resultJson != null && Object.hasOwnProperty.call(message, "resultJson"))
                    writer.uint32(/* id 3, wireType 2 =*/26).bytes(message.resultJson);
                if (message.error != null && Object.hasOwnProperty.call(message, "error"))
                    writer.uint32(/* id 4, wireType 2 =*/34).string(message.error);
                if (message.result != null && Object.hasOwnProperty.call(message, "result"))
                    $root.google.protobuf.Value.encode(message.result, writer.uint32(/* id 5, wireType 2 =*/42).fork(), q + 1).ldelim();
                if (message.executionTimeMs != null && Object.hasOwnProperty.call(message, "executionTimeMs"))
                    writer.uint32(/* id 6, wireType 0 =*/48).int64(message.executionTimeMs);
                if (message.resultOmitted != null && Object.hasOwnProperty.call(message, "resultOmitted"))
                    writer.uint32(/* id 7, wireType 0 =*/56).bool(message.resultOmitted);
                return writer;
            };

            /**
             * Decodes a CallToolResponse message from the specified reader or buffer.
             * @function decode
             * @memberof toolwire.v1.CallToolResponse
             * @static
             * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
             * @param {number} [length] Message length if known beforehand
             * @returns {toolwire.v1.CallToolResponse} CallToolResponse
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            CallToolResponse.decode = function decode(reader, length, error, long) {
                if (!(reader instanceof $Reader))
                    reader = $Reader.create(reader);
                if (long === undefined)
                    long = 0;
                if (long > $Reader.recursionLimit)
                    throw Error("maximum nesting depth exceeded");
                var end, message;
                if (length === undefined)
                    end = reader.len;
                else {
                    end = reader.pos + length;
                    if (end > reader.len)
                        throw RangeError("index out of range");
                    length = reader.len;
                    reader.len = end;
                }
                message = new $root.toolwire.v1.CallToolResponse();
                while (reader.pos < end) {
                    var tag = reader.uint32();
                    if (tag === error)
                        break;
                    switch (tag >>> 3) {
                    case 1: {
                            message.requestId = reader.string();
                            break;
                        }
                    case 2: {
                            message.success = reader.bool();
                            break;
                        }
                    case 3: {
                            message.resultJson = reader.bytes();
                            break;
                        }
                    case 4: {
                            message.error = reader.string();
                            break;
                        }
                    case 5: {
                            message.result = $root.google.protobuf.Value.decode(reader, reader.uint32(), undefined, long + 1);
                            break;
                        }
                    case 6: {
                            message.executionTimeMs = reader.int64();
                            break;
                        }
                    case 7: {
                            message.resultOmitted = reader.bool();
                            break;
                        }
                    default:
                        reader.skipType(tag & 7, long);
                        break;
                    }
                }
                if (length !== undefined) {
                    if (reader.pos !== end)
                        throw RangeError("index out of range");
                    reader.len = length;
                }
                return message;
            };

            return CallToolResponse;
        })();

        v1.CallError = (function() {

            /**
             * Properties of a CallError.
             * @memberof toolwire.v1
             * @interface ICallError
             * @property {toolwire.v1.CallError.Reason|null} [reason] CallError reason
             * @property {toolwire.v1.CallError.Delivery|null} [delivery] CallError delivery
             * @property {google.protobuf.IDuration|null} [retryAfter] CallError retryAfter
             * @property {string|null} [field] CallError field
             * @property {string|null} [requestId] CallError requestId
             */

            /**
             * Constructs a new CallError.
             * @memberof toolwire.v1
             * @classdesc Represents a CallError.
             * @implements ICallError
             * @constructor
             * @param {toolwire.v1.ICallError=} [properties] Properties to set
             */
            function CallError(properties) {
                if (properties)
                    for (var keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                        if (properties[keys[i]] != null && keys[i] !== "__proto__")
                            this[keys[i]] = properties[keys[i]];
            }

            /**
             * CallError reason.
             * @member {toolwire.v1.CallError.Reason} reason
             * @memberof toolwire.v1.CallError
             * @instance
             */
            CallError.prototype.reason = 0;

            /**
             * CallError delivery.
             * @member {toolwire.v1.CallError.Delivery} delivery
             * @memberof toolwire.v1.CallError
             * @instance
             */
            CallError.prototype.delivery = 0;

            /**
             * CallError retryAfter.
             * @member {google.protobuf.IDuration|null|undefined} retryAfter
             * @memberof toolwire.v1.CallError
             * @instance
             */
            CallError.prototype.retryAfter = null;

            /**
             * CallError field.
             * @member {string} field
             * @memberof toolwire.v1.CallError
             * @instance
             */
            CallError.prototype.field = "";

            /**
             * CallError requestId.
             * @member {string} requestId
             * @memberof toolwire.v1.CallError
             * @instance
             */
            CallError.prototype.requestId = "";

            /**
             * Encodes the specified CallError message. Does not implicitly {@link toolwire.v1.CallError.verify|verify} messages.
             * @function encode
             * @memberof toolwire.v1.CallError
             * @static
             * @param {toolwire.v1.ICallError} message CallError message or plain object to encode
             * @param {$protobuf.Writer} [writer] Writer to encode to
             * @returns {$protobuf.Writer} Writer
             */
            CallError.encode = function encode(message, writer, q) {
                if (!writer)
                    writer = $Writer.create();
                if (q === undefined)
                    q = 0;
                if (q > $util.recursionLimit)
                    throw Error("max depth exceeded");
                if (message.reason != null && Object.hasOwnProperty.call(message, "reason"))
                    writer.uint32(/* id 1, wireType 0 =*/8).int32(message.reason);
                if (message.delivery != null && Object.hasOwnProperty.call(message, "delivery"))
                    writer.uint32(/* id 2, wireType 0 =*/16).int32(message.delivery);
                if (message.retryAfter != null && Object.hasOwnProperty.call(message, "retryAfter"))
                    $root.google.protobuf.Duration.encode(message.retryAfter, writer.uint32(/* id 3, wireType 2 =*/26).fork(), q + 1).ldelim();
                if (message.field != null && Object.hasOwnProperty.call(message, "field"))
                    writer.uint32(/* id 4, wireType 2 =*/34).string(message.field);
                if (message.requestId != null && Object.hasOwnProperty.call(message, "requestId"))
                    writer.uint32(/* id 5, wireType 2 =*/42).string(message.requestId);
                return writer;
            };

            /**
             * Decodes a CallError message from the specified reader or buffer.
             * @function decode
             * @memberof toolwire.v1.CallError
             * @static
             * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
             * @param {number} [length] Message length if known beforehand
             * @returns {toolwire.v1.CallError} CallError
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            CallError.decode = function decode(reader, length, error, long) {
                if (!(reader instanceof $Reader))
                    reader = $Reader.create(reader);
                if (long === undefined)
                    long = 0;
                if (long > $Reader.recursionLimit)
                    throw Error("maximum nesting depth exceeded");
                var end, message;
                if (length === undefined)
                    end = reader.len;
                else {
                    end = reader.pos + length;
                    if (end > reader.len)
                        throw RangeError("index out of range");
                    length = reader.len;
                    reader.len = end;
                }
                message = new $root.toolwire.v1.CallError();
                while (reader.pos < end) {
                    var tag = reader.uint32();
                    if (tag === error)
                        break;
                    switch (tag >>> 3) {
                    case 1: {
                            message.reason = reader.int32();
                            break;
                        }
                    case 2: {
                            message.delivery = reader.int32();
                            break;
                        }
                    case 3: {
                            message.retryAfter = $root.google.protobuf.Duration.decode(reader, reader.uint32(), undefined, long + 1);
                            break;
                        }
                    case 4: {
                            message.field = reader.string();
                            break;
                        }
                    case 5: {
                            message.requestId = reader.string();
                            break;
                        }
                    default:
                        reader.skipType(tag & 7, long);
                        break;
                    }
                }
                if (length !== undefined) {
                    if (reader.pos !== end)
                        throw RangeError("index out of range");
                    reader.len = length;
                }
                return message;
            };

            /**
             * Delivery enum.
             * @name toolwire.v1.CallError.Delivery
             * @enum {number}
             * @property {number} DELIVERY_UNSPECIFIED=0 DELIVERY_UNSPECIFIED value
             * @property {number} NOT_SENT=1 NOT_SENT value
             * @property {number} SENT=2 SENT value
             */
            CallError.Delivery = (function() {
                var valuesById = {}, values = Object.create(valuesById);
                values[valuesById[0] = "DELIVERY_UNSPECIFIED"] = 0;
                values[valuesById[1] = "NOT_SENT"] = 1;
                values[valuesById[2] = "SENT"] = 2;
                return values;
            })();

            /**
             * Reason enum.
             * @name toolwire.v1.CallError.Reason
             * @enum {number}
             * @property {number} REASON_UNSPECIFIED=0 REASON_UNSPECIFIED value
             * @property {number} AGENT_NOT_CONNECTED=1 AGENT_NOT_CONNECTED value
             * @property {number} EDGE_UNAVAILABLE=2 EDGE_UNAVAILABLE value
             * @property {number} AGENT_BUSY=3 AGENT_BUSY value
             * @property {number} CALL_TIMEOUT=4 CALL_TIMEOUT value
             * @property {number} AGENT_LOST=5 AGENT_LOST value
             * @property {number} CALLER_CANCELLED=6 CALLER_CANCELLED value
             * @property {number} INVALID_REQUEST=7 INVALID_REQUEST value
             * @property {number} DUPLICATE_REQUEST=8 DUPLICATE_REQUEST value
             * @property {number} CALLER_BUSY=9 CALLER_BUSY value
             * @property {number} UNAUTHENTICATED=10 UNAUTHENTICATED value
             * @property {number} PERMISSION_DENIED=11 PERMISSION_DENIED value
             */
            CallError.Reason = (function() {
                var valuesById = {}, values = Object.create(valuesById);
                values[valuesById[0] = "REASON_UNSPECIFIED"] = 0;
                values[valuesById[1] = "AGENT_NOT_CONNECTED"] = 1;
                values[valuesById[2] = "EDGE_UNAVAILABLE"] = 2;
                values[valuesById[3] = "AGENT_BUSY"] = 3;
                values[valuesById[4] = "CALL_TIMEOUT"] = 4;
                values[valuesById[5] = "AGENT_LOST"] = 5;
                values[valuesById[6] = "CALLER_CANCELLED"] = 6;
                values[valuesById[7] = "INVALID_REQUEST"] = 7;
                values[valuesById[8] = "DUPLICATE_REQUEST"] = 8;
                values[valuesById[9] = "CALLER_BUSY"] = 9;
                values[valuesById[10] = "UNAUTHENTICATED"] = 10;
                values[valuesById[11] = "PERMISSION_DENIED"] = 11;
                return values;
            })();

            return CallError;
        })();

        v1.CallFailure = (function() {

            /**
             * Properties of a CallFailure.
             * @memberof toolwire.v1
             * @interface ICallFailure
             * @property {number|null} [code] CallFailure code
             * @property {string|null} [message] CallFailure message
             * @property {toolwire.v1.ICallError|null} [detail] CallFailure detail
             */

            /**
             * Constructs a new CallFailure.
             * @memberof toolwire.v1
             * @classdesc Represents a CallFailure.
             * @implements ICallFailure
             * @constructor
             * @param {toolwire.v1.ICallFailure=} [properties] Properties to set
             */
            function CallFailure(properties) {
                if (properties)
                    for (var keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                        if (properties[keys[i]] != null && keys[i] !== "__proto__")
                            this[keys[i]] = properties[keys[i]];
            }

            /**
             * CallFailure code.
             * @member {number} code
             * @memberof toolwire.v1.CallFailure
             * @instance
             */
            CallFailure.prototype.code = 0;

            /**
             * CallFailure message.
             * @member {string} message
             * @memberof toolwire.v1.CallFailure
             * @instance
             */
            CallFailure.prototype.message = "";

            /**
             * CallFailure detail.
             * @member {toolwire.v1.ICallError|null|undefined} detail
             * @memberof toolwire.v1.CallFailure
             * @instance
             */
            CallFailure.prototype.detail = null;

            /**
             * Encodes the specified CallFailure message. Does not implicitly {@link toolwire.v1.CallFailure.verify|verify} messages.
             * @function encode
             * @memberof toolwire.v1.CallFailure
             * @static
             * @param {toolwire.v1.ICallFailure} message CallFailure message or plain object to encode
             * @param {$protobuf.Writer} [writer] Writer to encode to
             * @returns {$protobuf.Writer} Writer
             */
            CallFailure.encode = function encode(message, writer, q) {
                if (!writer)
                    writer = $Writer.create();
                if (q === undefined)
                    q = 0;
                if (q > $util.recursionLimit)
                    throw Error("max depth exceeded");
                if (message.code != null && Object.hasOwnProperty.call(message, "code"))
                    writer.uint32(/* id 1, wireType 0 =*/8).int32(message.code);
                if (message.message != null && Object.hasOwnProperty.call(message, "message"))
                    writer.uint32(/* id 2, wireType 2 =*/18).string(message.message);
                if (message.detail != null && Object.hasOwnProperty.call(message, "detail"))
                    $root.toolwire.v1.CallError.encode(message.detail, writer.uint32(/* id 3, wireType 2 =*/26).fork(), q + 1).ldelim();
                return writer;
            };

            /**
             * Decodes a CallFailure message from the specified reader or buffer.
             * @function decode
             * @memberof toolwire.v1.CallFailure
             * @static
             * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
             * @param {number} [length] Message length if known beforehand
             * @returns {toolwire.v1.CallFailure} CallFailure
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            CallFailure.decode = function decode(reader, length, error, long) {
                if (!(reader instanceof $Reader))
                    reader = $Reader.create(reader);
                if (long === undefined)
                    long = 0;
                if (long > $Reader.recursionLimit)
                    throw Error("maximum nesting depth exceeded");
                var end, message;
                if (length === undefined)
                    end = reader.len;
                else {
                    end = reader.pos + length;
                    if (end > reader.len)
                        throw RangeError("index out of range");
                    length = reader.len;
                    reader.len = end;
                }
                message = new $root.toolwire.v1.CallFailure();
                while (reader.pos < end) {
                    var tag = reader.uint32();
                    if (tag === error)
                        break;
                    switch (tag >>> 3) {
                    case 1: {
                            message.code = reader.int32();
                            break;
                        }
                    case 2: {
                            message.message = reader.string();
                            break;
                        }
                    case 3: {
                            message.detail = $root.toolwire.v1.CallError.decode(reader, reader.uint32(), undefined, long + 1);
                            break;
                        }
                    default:
                        reader.skipType(tag & 7, long);
                        break;
                    }
                }
                if (length !== undefined) {
                    if (reader.pos !== end)
                        throw RangeError("index out of range");
                    reader.len = length;
                }
                return message;
            };

            return CallFailure;
        })();

        v1.StatusDetails = (function() {

            /**
             * Properties of a StatusDetails.
             * @memberof toolwire.v1
             * @interface IStatusDetails
             * @property {number|null} [code] StatusDetails code
             * @property {string|null} [message] StatusDetails message
             * @property {Array.<toolwire.v1.IPackedDetail>|null} [details] StatusDetails details
             */

            /**
             * Constructs a new StatusDetails.
             * @memberof toolwire.v1
             * @classdesc Represents a StatusDetails.
             * @implements IStatusDetails
             * @constructor
             * @param {toolwire.v1.IStatusDetails=} [properties] Properties to set
             */
            function StatusDetails(properties) {
                this.details = [];
                if (properties)
                    for (var keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                        if (properties[keys[i]] != null && keys[i] !== "__proto__")
                            this[keys[i]] = properties[keys[i]];
            }

            /**
             * StatusDetails code.
             * @member {number} code
             * @memberof toolwire.v1.StatusDetails
             * @instance
             */
            StatusDetails.prototype.code = 0;

            /**
             * StatusDetails message.
             * @member {string} message
             * @memberof toolwire.v1.StatusDetails
             * @instance
             */
            StatusDetails.prototype.message = "";

            /**
             * StatusDetails details.
             * @member {Array.<toolwire.v1.IPackedDetail>} details
             * @memberof toolwire.v1.StatusDetails
             * @instance
             */
            StatusDetails.prototype.details = $util.emptyArray;

            /**
             * Encodes the specified StatusDetails message. Does not implicitly {@link toolwire.v1.StatusDetails.verify|verify} messages.
             * @function encode
             * @memberof toolwire.v1.StatusDetails
             * @static
             * @param {toolwire.v1.IStatusDetails} message StatusDetails message or plain object to encode
             * @param {$protobuf.Writer} [writer] Writer to encode to
             * @returns {$protobuf.Writer} Writer
             */
            StatusDetails.encode = function encode(message, writer, q) {
                if (!writer)
                    writer = $Writer.create();
                if (q === undefined)
                    q = 0;
                if (q > $util.recursionLimit)
                    throw Error("max depth exceeded");
                if (message.code != null && Object.hasOwnProperty.call(message, "code"))
                    writer.uint32(/* id 1, wireType 0 =*/8).int32(message.code);
                if (message.message != null && Object.hasOwnProperty.call(message, "message"))
                    writer.uint32(/* id 2, wireType 2 =*/18).string(message.message);
                if (message.details != null && message.details.length)
                    for (var i = 0; i < message.details.length; ++i)
                        $root.toolwire.v1.PackedDetail.encode(message.details[i], writer.uint32(/* id 3, wireType 2 =*/26).fork(), q + 1).ldelim();
                return writer;
            };

            /**
             * Decodes a StatusDetails message from the specified reader or buffer.
             * @function decode
             * @memberof toolwire.v1.StatusDetails
             * @static
             * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
             * @param {number} [length] Message length if known beforehand
             * @returns {toolwire.v1.StatusDetails} StatusDetails
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            StatusDetails.decode = function decode(reader, length, error, long) {
                if (!(reader instanceof $Reader))
                    reader = $Reader.create(reader);
                if (long === undefined)
                    long = 0;
                if (long > $Reader.recursionLimit)
                    throw Error("maximum nesting depth exceeded");
                var end, message;
                if (length === undefined)
                    end = reader.len;
                else {
                    end = reader.pos + length;
                    if (end > reader.len)
                        throw RangeError("index out of range");
                    length = reader.len;
                    reader.len = end;
                }
                message = new $root.toolwire.v1.StatusDetails();
                while (reader.pos < end) {
                    var tag = reader.uint32();
                    if (tag === error)
                        break;
                    switch (tag >>> 3) {
                    case 1: {
                            message.code = reader.int32();
                            break;
                        }
                    case 2: {
                            message.message = reader.string();
                            break;
                        }
                    case 3: {
                            if (!(message.details && message.details.length))
                                message.details = [];
                            message.details.push($root.toolwire.v1.PackedDetail.decode(reader, reader.uint32(), undefined, long + 1));
                            break;
                        }
                    default:
                        reader.skipType(tag & 7, long);
                        break;
                    }
                }
                if (length !== undefined) {
                    if (reader.pos !== end)
                        throw RangeError("index out of range");
                    reader.len = length;
                }
                return message;
            };

            return StatusDetails;
        })();

        v1.PackedDetail = (function() {

            /**
             * Properties of a PackedDetail.
             * @memberof toolwire.v1
             * @interface IPackedDetail
             * @property {string|null} [typeUrl] PackedDetail typeUrl
             * @property {Uint8Array|null} [value] PackedDetail value
             */

            /**
             * Constructs a new PackedDetail.
             * @memberof toolwire.v1
             * @classdesc Represents a PackedDetail.
             * @implements IPackedDetail
             * @constructor
             * @param {toolwire.v1.IPackedDetail=} [properties] Properties to set
             */
            function PackedDetail(properties) {
                if (properties)
                    for (var keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                        if (properties[keys[i]] != null && keys[i] !== "__proto__")
                            this[keys[i]] = properties[keys[i]];
            }

            /**
             * PackedDetail typeUrl.
             * @member {string} typeUrl
             * @memberof toolwire.v1.PackedDetail
             * @instance
             */
            PackedDetail.prototype.typeUrl = "";

            /**
             * PackedDetail value.
             * @member {Uint8Array} value
             * @memberof toolwire.v1.PackedDetail
             * @instance
             */
            PackedDetail.prototype.value = $util.newBuffer([]);

            /**
             * Encodes the specified PackedDetail message. Does not implicitly {@link toolwire.v1.PackedDetail.verify|verify} messages.
             * @function encode
             * @memberof toolwire.v1.PackedDetail
             * @static
             * @param {toolwire.v1.IPackedDetail} message PackedDetail message or plain object to encode
             * @param {$protobuf.Writer} [writer] Writer to encode to
             * @returns {$protobuf.Writer} Writer
             */
            PackedDetail.encode = function encode(message, writer, q) {
                if (!writer)
                    writer = $Writer.create();
                if (q === undefined)
                    q = 0;
                if (q > $util.recursionLimit)
                    throw Error("max depth exceeded");
                if (message.typeUrl != null && Object.hasOwnProperty.call(message, "typeUrl"))
                    writer.uint32(/* id 1, wireType 2 =*/10).string(message.typeUrl);
                if (message.value != null && Object.hasOwnProperty.call(message, "value"))
                    writer.uint32(/* id 2, wireType 2 =*/18).bytes(message.value);
                return writer;
            };

            /**
             * Decodes a PackedDetail message from the specified reader or buffer.
             * @function decode
             * @memberof toolwire.v1.PackedDetail
             * @static
             * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
             * @param {number} [length] Message length if known beforehand
             * @returns {toolwire.v1.PackedDetail} PackedDetail
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            PackedDetail.decode = function decode(reader, length, error, long) {
                if (!(reader instanceof $Reader))
                    reader = $Reader.create(reader);
                if (long === undefined)
                    long = 0;
                if (long > $Reader.recursionLimit)
                    throw Error("maximum nesting depth exceeded");
                var end, message;
                if (length === undefined)
                    end = reader.len;
                else {
                    end = reader.pos + length;
                    if (end > reader.len)
                        throw RangeError("index out of range");
                    length = reader.len;
                    reader.len = end;
                }
                message = new $root.toolwire.v1.PackedDetail();
                while (reader.pos < end) {
                    var tag = reader.uint32();
                    if (tag === error)
                        break;
                    switch (tag >>> 3) {
                    case 1: {
                            message.typeUrl = reader.string();
                            break;
                        }
                    case 2: {
                            message.value = reader.bytes();
                            break;
                        }
                    default:
                        reader.skipType(tag & 7, long);
                        break;
                    }
                }
                if (length !== undefined) {
                    if (reader.pos !== end)
                        throw RangeError("index out of range");
                    reader.len = length;
                }
                return message;
            };

            return PackedDetail;
        })();

        v1.CreateCredentialRequest = (function() {

            /**
             * Properties of a CreateCredentialRequest.
             * @memberof toolwire.v1
             * @interface ICreateCredentialRequest
             * @property {string|null} [userId] CreateCredentialRequest userId
             * @property {string|null} [platform] CreateCredentialRequest platform
             */

            /**
             * Constructs a new CreateCredentialRequest.
             * @memberof toolwire.v1
             * @classdesc Represents a CreateCredentialRequest.
             * @implements ICreateCredentialRequest
             * @constructor
             * @param {toolwire.v1.ICreateCredentialRequest=} [properties] Properties to set
             */
            function CreateCredentialRequest(properties) {
                if (properties)
                    for (var keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                        if (properties[keys[i]] != null && keys[i] !== "__proto__")
                            this[keys[i]] = properties[keys[i]];
            }

            /**
             * CreateCredentialRequest userId.
             * @member {string} userId
             * @memberof toolwire.v1.CreateCredentialRequest
             * @instance
             */
            CreateCredentialRequest.prototype.userId = "";

            /**
             * CreateCredentialRequest platform.
             * @member {string} platform
             * @memberof toolwire.v1.CreateCredentialRequest
             * @instance
             */
            CreateCredentialRequest.prototype.platform = "";

            /**
             * Encodes the specified CreateCredentialRequest message. Does not implicitly {@link toolwire.v1.CreateCredentialRequest.verify|verify} messages.
             * @function encode
             * @memberof toolwire.v1.CreateCredentialRequest
             * @static
             * @param {toolwire.v1.ICreateCredentialRequest} message CreateCredentialRequest message or plain object to encode
             * @param {$protobuf.Writer} [writer] Writer to encode to
             * @returns {$protobuf.Writer} Writer
             */
            CreateCredentialRequest.encode = function encode(message, writer, q) {
                if (!writer)
                    writer = $Writer.create();
                if (q === undefined)
                    q = 0;
                if (q > $util.recursionLimit)
                    throw Error("max depth exceeded");
                if (message.userId != null && Object.hasOwnProperty.call(message, "userId"))
                    writer.uint32(/* id 1, wireType 2 =*/10).string(message.userId);
                if (message.platform != null && Object.hasOwnProperty.call(message, "platform"))
                    writer.uint32(/* id 2, wireType 2 =*/18).string(message.platform);
                return writer;
            };

            /**
             * Decodes a CreateCredentialRequest message from the specified reader or buffer.
             * @function decode
             * @memberof toolwire.v1.CreateCredentialRequest
             * @static
             * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
             * @param {number} [length] Message length if known beforehand
             * @returns {toolwire.v1.CreateCredentialRequest} CreateCredentialRequest
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            CreateCredentialRequest.decode = function decode(reader, length, error, long) {
                if (!(reader instanceof $Reader))
                    reader = $Reader.create(reader);
                if (long === undefined)
                    long = 0;
                if (long > $Reader.recursionLimit)
                    throw Error("maximum nesting depth exceeded");
                var end, message;
                if (length === undefined)
                    end = reader.len;
                else {
                    end = reader.pos + length;
                    if (end > reader.len)
                        throw RangeError("index out of range");
                    length = reader.len;
                    reader.len = end;
                }
                message = new $root.toolwire.v1.CreateCredentialRequest();
                while (reader.pos < end) {
                    var tag = reader.uint32();
                    if (tag === error)
                        break;
                    switch (tag >>> 3) {
                    case 1: {
                            message.userId = reader.string();
                            break;
                        }
                    case 2: {
                            message.platform = reader.string();
                            break;
                        }
                    default:
                        reader.skipType(tag & 7, long);
                        break;
                    }
                }
                if (length !== undefined) {
                    if (reader.pos !== end)
                        throw RangeError("index out of range");
                    reader.len = length;
                }
                return message;
            };

            return CreateCredentialRequest;
        })();

        v1.RotateCredentialRequest = (function() {

            /**
             * Properties of a RotateCredentialRequest.
             * @memberof toolwire.v1
             * @interface IRotateCredentialRequest
             * @property {string|null} [userId] RotateCredentialRequest userId
             * @property {boolean|null} [keepSession] RotateCredentialRequest keepSession
             * @property {boolean|null} [prepare] RotateCredentialRequest prepare
             * @property {string|null} [secret] RotateCredentialRequest secret
             */

            /**
             * Constructs a new RotateCredentialRequest.
             * @memberof toolwire.v1
             * @classdesc Represents a RotateCredentialRequest.
             * @implements IRotateCredentialRequest
             * @constructor
             * @param {toolwire.v1.IRotateCredentialRequest=} [properties] Properties to set
             */
            function RotateCredentialRequest(properties) {
                if (properties)
                    for (var keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                        if (properties[keys[i]] != null && keys[i] !== "__proto__")
                            this[keys[i]] = properties[keys[i]];
            }

            /**
             * RotateCredentialRequest userId.
             * @member {string} userId
             * @memberof toolwire.v1.RotateCredentialRequest
             * @instance
             */
            RotateCredentialRequest.prototype.userId = "";

            /**
             * RotateCredentialRequest keepSession.
             * @member {boolean} keepSession
             * @memberof toolwire.v1.RotateCredentialRequest
             * @instance
             */
            RotateCredentialRequest.prototype.keepSession = false;

            /**
             * RotateCredentialRequest prepare.
             * @member {boolean} prepare
             * @memberof toolwire.v1.RotateCredentialRequest
             * @instance
             */
            RotateCredentialRequest.prototype.prepare = false;

            /**
             * RotateCredentialRequest secret.
             * @member {string} secret
             * @memberof toolwire.v1.RotateCredentialRequest
             * @instance
             */
            RotateCredentialRequest.prototype.secret = "";

            /**
             * Encodes the specified RotateCredentialRequest message. Does not implicitly {@link toolwire.v1.RotateCredentialRequest.verify|verify} messages.
             * @function encode
             * @memberof toolwire.v1.RotateCredentialRequest
             * @static
             * @param {toolwire.v1.IRotateCredentialRequest} message RotateCredentialRequest message or plain object to encode
             * @param {$protobuf.Writer} [writer] Writer to encode to
             * @returns {$protobuf.Writer} Writer
             */
            RotateCredentialRequest.encode = function encode(message, writer, q) {
                if (!writer)
                    writer = $Writer.create();
                if (q === undefined)
                    q = 0;
                if (q > $util.recursionLimit)
                    throw Error("max depth exceeded");
                if (message.userId != null && Object.hasOwnProperty.call(message, "userId"))
                    writer.uint32(/* id 1, wireType 2 =*/10).string(message.userId);
                if (message.keepSession != null && Object.hasOwnProperty.call(message, "keepSession"))
                    writer.uint32(/* id 2, wireType 0 =*/16).bool(message.keepSession);
                if (message.prepare != null && Object.hasOwnProperty.call(message, "prepare"))
                    writer.uint32(/* id 3, wireType 0 =*/24).bool(message.prepare);
                if (message.secret != null && Object.hasOwnProperty.call(message, "secret"))
                    writer.uint32(/* id 4, wireType 2 =*/34).string(message.secret);
                return writer;
            };

            /**
             * Decodes a RotateCredentialRequest message from the specified reader or buffer.
             * @function decode
             * @memberof toolwire.v1.RotateCredentialRequest
             * @static
             * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
             * @param {number} [length] Message length if known beforehand
             * @returns {toolwire.v1.RotateCredentialRequest} RotateCredentialRequest
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            RotateCredentialRequest.decode = function decode(reader, length, error, long) {
                if (!(reader instanceof $Reader))
                    reader = $Reader.create(reader);
                if (long === undefined)
                    long = 0;
                if (long > $Reader.recursionLimit)
                    throw Error("maximum nesting depth exceeded");
                var end, message;
                if (length === undefined)
                    end = reader.len;
                else {
                    end = reader.pos + length;
                    if (end > reader.len)
                        throw RangeError("index out of range");
                    length = reader.len;
                    reader.len = end;
                }
                message = new $root.toolwire.v1.RotateCredentialRequest();
                while (reader.pos < end) {
                    var tag = reader.uint32();
                    if (tag === error)
                        break;
                    switch (tag >>> 3) {
                    case 1: {
                            message.userId = reader.string();
                            break;
                        }
                    case 2: {
                            message.keepSession = reader.bool();
                            break;
                        }
                    case 3: {
                            message.prepare = reader.bool();
                            break;
                        }
                    case 4: {
                            message.secret = reader.string();
                            break;
                        }
                    default:
                        reader.skipType(tag & 7, long);
                        break;
                    }
                }
                if (length !== undefined) {
                    if (reader.pos !== end)
                        throw RangeError("index out of range");
                    reader.len = length;
                }
                return message;
            };

            return RotateCredentialRequest;
        })();

        v1.CredentialSecret = (function() {

            /**
             * Properties of a CredentialSecret.
             * @memberof toolwire.v1
             * @interface ICredentialSecret
             * @property {string|null} [userId] CredentialSecret userId
             * @property {string|null} [secret] CredentialSecret secret
             * @property {boolean|null} [everywhere] CredentialSecret everywhere
             * @property {Array.<string>|null} [edgesNotHeard] CredentialSecret edgesNotHeard
             * @property {boolean|null} [prepared] CredentialSecret prepared
             */

            /**
             * Constructs a new CredentialSecret.
             * @memberof toolwire.v1
             * @classdesc Represents a CredentialSecret.
             * @implements ICredentialSecret
             * @constructor
             * @param {toolwire.v1.ICredentialSecret=} [properties] Properties to set
             */
            function CredentialSecret(properties) {
                this.edgesNotHeard = [];
                if (properties)
                    for (var keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                        if (properties[keys[i]] != null && keys[i] !== "__proto__")
                            this[keys[i]] = properties[keys[i]];
            }

            /**
             * CredentialSecret userId.
             * @member {string} userId
             * @memberof toolwire.v1.CredentialSecret
             * @instance
             */
            CredentialSecret.prototype.userId = "";

            /**
             * CredentialSecret secret.
             * @member {string} secret
             * @memberof toolwire.v1.CredentialSecret
             * @instance
             */
            CredentialSecret.prototype.secret = "";

            /**
             * CredentialSecret everywhere.
             * @member {boolean} everywhere
             * @memberof toolwire.v1.CredentialSecret
             * @instance
             */
            CredentialSecret.prototype.everywhere = false;

            /**
             * CredentialSecret edgesNotHeard.
             * @member {Array.<string>} edgesNotHeard
             * @memberof toolwire.v1.CredentialSecret
             * @instance
             */
            CredentialSecret.prototype.edgesNotHeard = $util.emptyArray;

            /**
             * CredentialSecret prepared.
             * @member {boolean} prepared
             * @memberof toolwire.v1.CredentialSecret
             * @instance
             */
            CredentialSecret.prototype.prepared = false;

            /**
             * Encodes the specified CredentialSecret message. Does not implicitly {@link toolwire.v1.CredentialSecret.verify|verify} messages.
             * @function encode
             * @memberof toolwire.v1.CredentialSecret
             * @static
             * @param {toolwire.v1.ICredentialSecret} message CredentialSecret message or plain object to encode
             * @param {$protobuf.Writer} [writer] Writer to encode to
             * @returns {$protobuf.Writer} Writer
             */
            CredentialSecret.encode = function encode(message, writer, q) {
                if (!writer)
                    writer = $Writer.create();
                if (q === undefined)
                    q = 0;
                if (q > $util.recursionLimit)
                    throw Error("max depth exceeded");
                if (message.userId != null && Object.hasOwnProperty.call(message, "userId"))
                    writer.uint32(/* id 1, wireType 2 =*/10).string(message.userId);
                if (message.secret != null && Object.hasOwnProperty.call(message, "secret"))
                    writer.uint32(/* id 2, wireType 2 =*/18).string(message.secret);
                if (message.everywhere != null && Object.hasOwnProperty.call(message, "everywhere"))
                    writer.uint32(/* id 3, wireType 0 =*/24).bool(message.everywhere);
                if (message.edgesNotHeard != null && message.edgesNotHeard.length)
                    for (var i = 0; i < message.edgesNotHeard.length; ++i)
                        writer.uint32(/* id 4, wireType 2 =*/34).string(message.edgesNotHeard[i]);
                if (message.prepared != null && Object.hasOwnProperty.call(message, "prepared"))
                    writer.uint32(/* id 5, wireType 0 =*/40).bool(message.prepared);
                return writer;
            };

            /**
             * Decodes a CredentialSecret message from the specified reader or buffer.
             * @function decode
             * @memberof toolwire.v1.CredentialSecret
             * @static
             * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
             * @param {number} [length] Message length if known beforehand
             * @returns {toolwire.v1.CredentialSecret} CredentialSecret
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            CredentialSecret.decode = function decode(reader, length, error, long) {
                if (!(reader instanceof $Reader))
                    reader = $Reader.create(reader);
                if (long === undefined)
                    long = 0;
                if (long > $Reader.recursionLimit)
                    throw Error("maximum nesting depth exceeded");
                var end, message;
                if (length === undefined)
                    end = reader.len;
                else {
                    end = reader.pos + length;
                    if (end > reader.len)
                        throw RangeError("index out of range");
                    length = reader.len;
                    reader.len = end;
                }
                message = new $root.toolwire.v1.CredentialSecret();
                while (reader.pos < end) {
                    var tag = reader.uint32();
                    if (tag === error)
                        break;
                    switch (tag >>> 3) {
                    case 1: {
                            message.userId = reader.string();
                            break;
                        }
                    case 2: {
                            message.secret = reader.string();
                            break;
                        }
                    case 3: {
                            message.everywhere = reader.bool();
                            break;
                        }
                    case 4: {
                            if (!(message.edgesNotHeard && message.edgesNotHeard.length))
                                message.edgesNotHeard = [];
                            message.edgesNotHeard.push(reader.string());
                            break;
                        }
                    case 5: {
                            message.prepared = reader.bool();
                            break;
                        }
                    default:
                        reader.skipType(tag & 7, long);
                        break;
                    }
                }
                if (length !== undefined) {
                    if (reader.pos !== end)
                        throw RangeError("index out of range");
                    reader.len = length;
                }
                return message;
            };

            return CredentialSecret;
        })();

        v1.RevokeCredentialRequest = (function() {

            /**
             * Properties of a RevokeCredentialRequest.
             * @memberof toolwire.v1
             * @interface IRevokeCredentialRequest
             * @property {string|null} [userId] RevokeCredentialRequest userId
             */

            /**
             * Constructs a new RevokeCredentialRequest.
             * @memberof toolwire.v1
             * @classdesc Represents a RevokeCredentialRequest.
             * @implements IRevokeCredentialRequest
             * @constructor
             * @param {toolwire.v1.IRevokeCredentialRequest=} [properties] Properties to set
             */
            function RevokeCredentialRequest(properties) {
                if (properties)
                    for (var keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                        if (properties[keys[i]] != null && keys[i] !== "__proto__")
                            this[keys[i]] = properties[keys[i]];
            }

            /**
             * RevokeCredentialRequest userId.
             * @member {string} userId
             * @memberof toolwire.v1.RevokeCredentialRequest
             * @instance
             */
            RevokeCredentialRequest.prototype.userId = "";

            /**
             * Encodes the specified RevokeCredentialRequest message. Does not implicitly {@link toolwire.v1.RevokeCredentialRequest.verify|verify} messages.
             * @function encode
             * @memberof toolwire.v1.RevokeCredentialRequest
             * @static
             * @param {toolwire.v1.IRevokeCredentialRequest} message RevokeCredentialRequest message or plain object to encode
             * @param {$protobuf.Writer} [writer] Writer to encode to
             * @returns {$protobuf.Writer} Writer
             */
            RevokeCredentialRequest.encode = function encode(message, writer, q) {
                if (!writer)
                    writer = $Writer.create();
                if (q === undefined)
                    q = 0;
                if (q > $util.recursionLimit)
                    throw Error("max depth exceeded");
                if (message.userId != null && Object.hasOwnProperty.call(message, "userId"))
                    writer.uint32(/* id 1, wireType 2 =*/10).string(message.userId);
                return writer;
            };

            /**
             * Decodes a RevokeCredentialRequest message from the specified reader or buffer.
             * @function decode
             * @memberof toolwire.v1.RevokeCredentialRequest
             * @static
             * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
             * @param {number} [length] Message length if known beforehand
             * @returns {toolwire.v1.RevokeCredentialRequest} RevokeCredentialRequest
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            RevokeCredentialRequest.decode = function decode(reader, length, error, long) {
                if (!(reader instanceof $Reader))
                    reader = $Reader.create(reader);
                if (long === undefined)
                    long = 0;
                if (long > $Reader.recursionLimit)
                    throw Error("maximum nesting depth exceeded");
                var end, message;
                if (length === undefined)
                    end = reader.len;
                else {
                    end = reader.pos + length;
                    if (end > reader.len)
                        throw RangeError("index out of range");
                    length = reader.len;
                    reader.len = end;
                }
                message = new $root.toolwire.v1.RevokeCredentialRequest();
                while (reader.pos < end) {
                    var tag = reader.uint32();
                    if (tag === error)
                        break;
                    switch (tag >>> 3) {
                    case 1: {
                            message.userId = reader.string();
                            break;
                        }
                    default:
                        reader.skipType(tag & 7, long);
                        break;
                    }
                }
                if (length !== undefined) {
                    if (reader.pos !== end)
                        throw RangeError("index out of range");
                    reader.len = length;
                }
                return message;
            };

            return RevokeCredentialRequest;
        })();

        v1.RevokeCredentialResponse = (function() {

            /**
             * Properties of a RevokeCredentialResponse.
             * @memberof toolwire.v1
             * @interface IRevokeCredentialResponse
             * @property {boolean|null} [sessionClosed] RevokeCredentialResponse sessionClosed
             * @property {boolean|null} [everywhere] RevokeCredentialResponse everywhere
             * @property {Array.<string>|null} [edgesNotHeard] RevokeCredentialResponse edgesNotHeard
             */

            /**
             * Constructs a new RevokeCredentialResponse.
             * @memberof toolwire.v1
             * @classdesc Represents a RevokeCredentialResponse.
             * @implements IRevokeCredentialResponse
             * @constructor
             * @param {toolwire.v1.IRevokeCredentialResponse=} [properties] Properties to set
             */
            function RevokeCredentialResponse(properties) {
                this.edgesNotHeard = [];
                if (properties)
                    for (var keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                        if (properties[keys[i]] != null && keys[i] !== "__proto__")
                            this[keys[i]] = properties[keys[i]];
            }

            /**
             * RevokeCredentialResponse sessionClosed.
             * @member {boolean} sessionClosed
             * @memberof toolwire.v1.RevokeCredentialResponse
             * @instance
             */
            RevokeCredentialResponse.prototype.sessionClosed = false;

            /**
             * RevokeCredentialResponse everywhere.
             * @member {boolean} everywhere
             * @memberof toolwire.v1.RevokeCredentialResponse
             * @instance
             */
            RevokeCredentialResponse.prototype.everywhere = false;

            /**
             * RevokeCredentialResponse edgesNotHeard.
             * @member {Array.<string>} edgesNotHeard
             * @memberof toolwire.v1.RevokeCredentialResponse
             * @instance
             */
            RevokeCredentialResponse.prototype.edgesNotHeard = $util.emptyArray;

            /**
             * Encodes the specified RevokeCredentialResponse message. Does not implicitly {@link toolwire.v1.RevokeCredentialResponse.verify|verify} messages.
             * @function encode
             * @memberof toolwire.v1.RevokeCredentialResponse
             * @static
             * @param {toolwire.v1.IRevokeCredentialResponse} message RevokeCredentialResponse message or plain object to encode
             * @param {$protobuf.Writer} [writer] Writer to encode to
             * @returns {$protobuf.Writer} Writer
             */
            RevokeCredentialResponse.encode = function encode(message, writer, q) {
                if (!writer)
                    writer = $Writer.create();
                if (q === undefined)
                    q = 0;
                if (q > $util.recursionLimit)
                    throw Error("max depth exceeded");
                if (message.sessionClosed != null && Object.hasOwnProperty.call(message, "sessionClosed"))
                    writer.uint32(/* id 1, wireType 0 =*/8).bool(message.sessionClosed);
                if (message.everywhere != null && Object.hasOwnProperty.call(message, "everywhere"))
                    writer.uint32(/* id 2, wireType 0 =*/16).bool(message.everywhere);
                if (message.edgesNotHeard != null && message.edgesNotHeard.length)
                    for (var i = 0; i < message.edgesNotHeard.length; ++i)
                        writer.uint32(/* id 3, wireType 2 =*/26).string(message.edgesNotHeard[i]);
                return writer;
            };

            /**
             * Decodes a RevokeCredentialResponse message from the specified reader or buffer.
             * @function decode
             * @memberof toolwire.v1.RevokeCredentialResponse
             * @static
             * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
             * @param {number} [length] Message length if known beforehand
             * @returns {toolwire.v1.RevokeCredentialResponse} RevokeCredentialResponse
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            RevokeCredentialResponse.decode = function decode(reader, length, error, long) {
                if (!(reader instanceof $Reader))
                    reader = $Reader.create(reader);
                if (long === undefined)
                    long = 0;
                if (long > $Reader.recursionLimit)
                    throw Error("maximum nesting depth exceeded");
                var end, message;
                if (length === undefined)
                    end = reader.len;
                else {
                    end = reader.pos + length;
                    if (end > reader.len)
                        throw RangeError("index out of range");
                    length = reader.len;
                    reader.len = end;
                }
                message = new $root.toolwire.v1.RevokeCredentialResponse();
                while (reader.pos < end) {
                    var tag = reader.uint32();
                    if (tag === error)
                        break;
                    switch (tag >>> 3) {
                    case 1: {
                            message.sessionClosed = reader.bool();
                            break;
                        }
                    case 2: {
                            message.everywhere = reader.bool();
                            break;
                        }
                    case 3: {
                            if (!(message.edgesNotHeard && message.edgesNotHeard.length))
                                message.edgesNotHeard = [];
                            message.edgesNotHeard.push(reader.string());
                            break;
                        }
                    default:
                        reader.skipType(tag & 7, long);
                        break;
                    }
                }
                if (length !== undefined) {
                    if (reader.pos !== end)
                        throw RangeError("index out of range");
                    reader.len = length;
                }
                return message;
            };

            return RevokeCredentialResponse;
        })();

        v1.ListCredentialsRequest = (function() {

            /**
             * Properties of a ListCredentialsRequest.
             * @memberof toolwire.v1
             * @interface IListCredentialsRequest
             * @property {number|null} [pageSize] ListCredentialsRequest pageSize
             * @property {string|null} [pageToken] ListCredentialsRequest pageToken
             */

            /**
             * Constructs a new ListCredentialsRequest.
             * @memberof toolwire.v1
             * @classdesc Represents a ListCredentialsRequest.
             * @implements IListCredentialsRequest
             * @constructor
             * @param {toolwire.v1.IListCredentialsRequest=} [properties] Properties to set
             */
            function ListCredentialsRequest(properties) {
                if (properties)
                    for (var keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                        if (properties[keys[i]] != null && keys[i] !== "__proto__")
                            this[keys[i]] = properties[keys[i]];
            }

            /**
             * ListCredentialsRequest pageSize.
             * @member {number} pageSize
             * @memberof toolwire.v1.ListCredentialsRequest
             * @instance
             */
            ListCredentialsRequest.prototype.pageSize = 0;

            /**
             * ListCredentialsRequest pageToken.
             * @member {string} pageToken
             * @memberof toolwire.v1.ListCredentialsRequest
             * @instance
             */
            ListCredentialsRequest.prototype.pageToken = "";

            /**
             * Encodes the specified ListCredentialsRequest message. Does not implicitly {@link toolwire.v1.ListCredentialsRequest.verify|verify} messages.
             * @function encode
             * @memberof toolwire.v1.ListCredentialsRequest
             * @static
             * @param {toolwire.v1.IListCredentialsRequest} message ListCredentialsRequest message or plain object to encode
             * @param {$protobuf.Writer} [writer] Writer to encode to
             * @returns {$protobuf.Writer} Writer
             */
            ListCredentialsRequest.encode = function encode(message, writer, q) {
                if (!writer)
                    writer = $Writer.create();
                if (q === undefined)
                    q = 0;
                if (q > $util.recursionLimit)
                    throw Error("max depth exceeded");
                if (message.pageSize != null && Object.hasOwnProperty.call(message, "pageSize"))
                    writer.uint32(/* id 1, wireType 0 =*/8).int32(message.pageSize);
                if (message.pageToken != null && Object.hasOwnProperty.call(message, "pageToken"))
                    writer.uint32(/* id 2, wireType 2 =*/18).string(message.pageToken);
                return writer;
            };

            /**
             * Decodes a ListCredentialsRequest message from the specified reader or buffer.
             * @function decode
             * @memberof toolwire.v1.ListCredentialsRequest
             * @static
             * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
             * @param {number} [length] Message length if known beforehand
             * @returns {toolwire.v1.ListCredentialsRequest} ListCredentialsRequest
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            ListCredentialsRequest.decode = function decode(reader, length, error, long) {
                if (!(reader instanceof $Reader))
                    reader = $Reader.create(reader);
                if (long === undefined)
                    long = 0;
                if (long > $Reader.recursionLimit)
                    throw Error("maximum nesting depth exceeded");
                var end, message;
                if (length === undefined)
                    end = reader.len;
                else {
                    end = reader.pos + length;
                    if (end > reader.len)
                        throw RangeError("index out of range");
                    length = reader.len;
                    reader.len = end;
                }
                message = new $root.toolwire.v1.ListCredentialsRequest();
                while (reader.pos < end) {
                    var tag = reader.uint32();
                    if (tag === error)
                        break;
                    switch (tag >>> 3) {
                    case 1: {
                            message.pageSize = reader.int32();
                            break;
                        }
                    case 2: {
                            message.pageToken = reader.string();
                            break;
                        }
                    default:
                        reader.skipType(tag & 7, long);
                        break;
                    }
                }
                if (length !== undefined) {
                    if (reader.pos !== end)
                        throw RangeError("index out of range");
                    reader.len = length;
                }
                return message;
            };

            return ListCredentialsRequest;
        })();

        v1.Credential = (function() {

            /**
             * Properties of a Credential.
             * @memberof toolwire.v1
             * @interface ICredential
             * @property {string|null} [userId] Credential userId
             * @property {string|null} [platform] Credential platform
             * @property {string|null} [status] Credential status
             * @property {google.protobuf.ITimestamp|null} [createdAt] Credential createdAt
             * @property {google.protobuf.ITimestamp|null} [lastSeen] Credential lastSeen
             * @property {boolean|null} [revoked] Credential revoked
             */

            /**
             * Constructs a new Credential.
             * @memberof toolwire.v1
             * @classdesc Represents a Credential.
             * @implements ICredential
             * @constructor
             * @param {toolwire.v1.ICredential=} [properties] Properties to set
             */
            function Credential(properties) {
                if (properties)
                    for (var keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                        if (properties[keys[i]] != null && keys[i] !== "__proto__")
                            this[keys[i]] = properties[keys[i]];
            }

            /**
             * Credential userId.
             * @member {string} userId
             * @memberof toolwire.v1.Credential
             * @instance
             */
            Credential.prototype.userId = "";

            /**
             * Credential platform.
             * @member {string} platform
             * @memberof toolwire.v1.Credential
             * @instance
             */
            Credential.prototype.platform = "";

            /**
             * Credential status.
             * @member {string} status
             * @memberof toolwire.v1.Credential
             * @instance
             */
            Credential.prototype.status = "";

            /**
             * Credential createdAt.
             * @member {google.protobuf.ITimestamp|null|undefined} createdAt
             * @memberof toolwire.v1.Credential
             * @instance
             */
            Credential.prototype.createdAt = null;

            /**
             * Credential lastSeen.
             * @member {google.protobuf.ITimestamp|null|undefined} lastSeen
             * @memberof toolwire.v1.Credential
             * @instance
             */
            Credential.prototype.lastSeen = null;

            /**
             * Credential revoked.
             * @member {boolean} revoked
             * @memberof toolwire.v1.Credential
             * @instance
             */
            Credential.prototype.revoked = false;

            /**
             * Encodes the specified Credential message. Does not implicitly {@link toolwire.v1.Credential.verify|verify} messages.
             * @function encode
             * @memberof toolwire.v1.Credential
             * @static
             * @param {toolwire.v1.ICredential} message Credential message or plain object to encode
             * @param {$protobuf.Writer} [writer] Writer to encode to
             * @returns {$protobuf.Writer} Writer
             */
            Credential.encode = function encode(message, writer, q) {
                if (!writer)
                    writer = $Writer.create();
                if (q === undefined)
                    q = 0;
                if (q > $util.recursionLimit)
                    throw Error("max depth exceeded");
                if (message.userId != null && Object.hasOwnProperty.call(message, "userId"))
                    writer.uint32(/* id 1, wireType 2 =*/10).string(message.userId);
                if (message.platform != null && Object.hasOwnProperty.call(message, "platform"))
                    writer.uint32(/* id 2, wireType 2 =*/18).string(message.platform);
                if (message.status != null && Object.hasOwnProperty.call(message, "status"))
                    writer.uint32(/* id 3, wireType 2 =*/26).string(message.status);
                if (message.createdAt != null && Object.hasOwnProperty.call(message, "createdAt"))
                    $root.google.protobuf.Timestamp.encode(message.createdAt, writer.uint32(/* id 4, wireType 2 =*/34).fork(), q + 1).ldelim();
                if (message.lastSeen != null && Object.hasOwnProperty.call(message, "lastSeen"))
                    $root.google.protobuf.Timestamp.encode(message.lastSeen, writer.uint32(/* id 5, wireType 2 =*/42).fork(), q + 1).ldelim();
                if (message.revoked != null && Object.hasOwnProperty.call(message, "revoked"))
                    writer.uint32(/* id 6, wireType 0 =*/48).bool(message.revoked);
                return writer;
            };

            /**
             * Decodes a Credential message from the specified reader or buffer.
             * @function decode
             * @memberof toolwire.v1.Credential
             * @static
             * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
             * @param {number} [length] Message length if known beforehand
             * @returns {toolwire.v1.Credential} Credential
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            Credential.decode = function decode(reader, length, error, long) {
                if (!(reader instanceof $Reader))
                    reader = $Reader.create(reader);
                if (long === undefined)
                    long = 0;
                if (long > $Reader.recursionLimit)
                    throw Error("maximum nesting depth exceeded");
                var end, message;
                if (length === undefined)
                    end = reader.len;
                else {
                    end = reader.pos + length;
                    if (end > reader.len)
                        throw RangeError("index out of range");
                    length = reader.len;
                    reader.len = end;
                }
                message = new $root.toolwire.v1.Credential();
                while (reader.pos < end) {
                    var tag = reader.uint32();
                    if (tag === error)
                        break;
                    switch (tag >>> 3) {
                    case 1: {
                            message.userId = reader.string();
                            break;
                        }
                    case 2: {
                            message.platform = reader.string();
                            break;
                        }
                    case 3: {
                            message.status = reader.string();
                            break;
                        }
                    case 4: {
                            message.createdAt = $root.google.protobuf.Timestamp.decode(reader, reader.uint32(), undefined, long + 1);
                            break;
                        }
                    case 5: {
                            message.lastSeen = $root.google.protobuf.Timestamp.decode(reader, reader.uint32(), undefined, long + 1);
                            break;
                        }
                    case 6: {
                            message.revoked = reader.bool();
                            break;
                        }
                    default:
                        reader.skipType(tag & 7, long);
                        break;
                    }
                }
                if (length !== undefined) {
                    if (reader.pos !== end)
                        throw RangeError("index out of range");
                    reader.len = length;
                }
                return message;
            };

            return Credential;
        })();

        v1.ListCredentialsResponse = (function() {

            /**
             * Properties of a ListCredentialsResponse.
             * @memberof toolwire.v1
             * @interface IListCredentialsResponse
             * @property {Array.<toolwire.v1.ICredential>|null} [credentials] ListCredentialsResponse credentials
             * @property {string|null} [nextPageToken] ListCredentialsResponse nextPageToken
             */

            /**
             * Constructs a new ListCredentialsResponse.
             * @memberof toolwire.v1
             * @classdesc Represents a ListCredentialsResponse.
             * @implements IListCredentialsResponse
             * @constructor
             * @param {toolwire.v1.IListCredentialsResponse=} [properties] Properties to set
             */
            function ListCredentialsResponse(properties) {
                this.credentials = [];
                if (properties)
                    for (var keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                        if (properties[keys[i]] != null && keys[i] !== "__proto__")
                            this[keys[i]] = properties[keys[i]];
            }

            /**
             * ListCredentialsResponse credentials.
             * @member {Array.<toolwire.v1.ICredential>} credentials
             * @memberof toolwire.v1.ListCredentialsResponse
             * @instance
             */
            ListCredentialsResponse.prototype.credentials = $util.emptyArray;

            /**
             * ListCredentialsResponse nextPageToken.
             * @member {string} nextPageToken
             * @memberof toolwire.v1.ListCredentialsResponse
             * @instance
             */
            ListCredentialsResponse.prototype.nextPageToken = "";

            /**
             * Encodes the specified ListCredentialsResponse message. Does not implicitly {@link toolwire.v1.ListCredentialsResponse.verify|verify} messages.
             * @function encode
             * @memberof toolwire.v1.ListCredentialsResponse
             * @static
             * @param {toolwire.v1.IListCredentialsResponse} message ListCredentialsResponse message or plain object to encode
             * @param {$protobuf.Writer} [writer] Writer to encode to
             * @returns {$protobuf.Writer} Writer
             */
            ListCredentialsResponse.encode = function encode(message, writer, q) {
                if (!writer)
                    writer = $Writer.create();
                if (q === undefined)
                    q = 0;
                if (q > $util.recursionLimit)
                    throw Error("max depth exceeded");
                if (message.credentials != null && message.credentials.length)
                    for (var i = 0; i < message.credentials.length; ++i)
                        $root.toolwire.v1.Credential.encode(message.credentials[i], writer.uint32(/* id 1, wireType 2 =*/10).fork(), q + 1).ldelim();
                if (message.nextPageToken != null && Object.hasOwnProperty.call(message, "nextPageToken"))
                    writer.uint32(/* id 2, wireType 2 =*/18).string(message.nextPageToken);
                return writer;
            };

            /**
             * Decodes a ListCredentialsResponse message from the specified reader or buffer.
             * @function decode
             * @memberof toolwire.v1.ListCredentialsResponse
             * @static
             * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
             * @param {number} [length] Message length if known beforehand
             * @returns {toolwire.v1.ListCredentialsResponse} ListCredentialsResponse
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            ListCredentialsResponse.decode = function decode(reader, length, error, long) {
                if (!(reader instanceof $Reader))
                    reader = $Reader.create(reader);
                if (long === undefined)
                    long = 0;
                if (long > $Reader.recursionLimit)
                    throw Error("maximum nesting depth exceeded");
                var end, message;
                if (length === undefined)
                    end = reader.len;
                else {
                    end = reader.pos + length;
                    if (end > reader.len)
                        throw RangeError("index out of range");
                    length = reader.len;
                    reader.len = end;
                }
                message = new $root.toolwire.v1.ListCredentialsResponse();
                while (reader.pos < end) {
                    var tag = reader.uint32();
                    if (tag === error)
                        break;
                    switch (tag >>> 3) {
                    case 1: {
                            if (!(message.credentials && message.credentials.length))
                                message.credentials = [];
                            message.credentials.push($root.toolwire.v1.Credential.decode(reader, reader.uint32(), undefined, long + 1));
                            break;
                        }
                    case 2: {
                            message.nextPageToken = reader.string();
                            break;
                        }
                    default:
                        reader.skipType(tag & 7, long);
                        break;
                    }
                }
                if (length !== undefined) {
                    if (reader.pos !== end)
                        throw RangeError("index out of range");
                    reader.len = length;
                }
                return message;
            };

            return ListCredentialsResponse;
        })();

        v1.DisconnectAgentRequest = (function() {

            /**
             * Properties of a DisconnectAgentRequest.
             * @memberof toolwire.v1
             * @interface IDisconnectAgentRequest
             * @property {string|null} [userId] DisconnectAgentRequest userId
             */

            /**
             * Constructs a new DisconnectAgentRequest.
             * @memberof toolwire.v1
             * @classdesc Represents a DisconnectAgentRequest.
             * @implements IDisconnectAgentRequest
             * @constructor
             * @param {toolwire.v1.IDisconnectAgentRequest=} [properties] Properties to set
             */
            function DisconnectAgentRequest(properties) {
                if (properties)
                    for (var keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                        if (properties[keys[i]] != null && keys[i] !== "__proto__")
                            this[keys[i]] = properties[keys[i]];
            }

            /**
             * DisconnectAgentRequest userId.
             * @member {string} userId
             * @memberof toolwire.v1.DisconnectAgentRequest
             * @instance
             */
            DisconnectAgentRequest.prototype.userId = "";

            /**
             * Encodes the specified DisconnectAgentRequest message. Does not implicitly {@link toolwire.v1.DisconnectAgentRequest.verify|verify} messages.
             * @function encode
             * @memberof toolwire.v1.DisconnectAgentRequest
             * @static
             * @param {toolwire.v1.IDisconnectAgentRequest} message DisconnectAgentRequest message or plain object to encode
             * @param {$protobuf.Writer} [writer] Writer to encode to
             * @returns {$protobuf.Writer} Writer
             */
            DisconnectAgentRequest.encode = function encode(message, writer, q) {
                if (!writer)
                    writer = $Writer.create();
                if (q === undefined)
                    q = 0;
                if (q > $util.recursionLimit)
                    throw Error("max depth exceeded");
                if (message.userId != null && Object.hasOwnProperty.call(message, "userId"))
                    writer.uint32(/* id 1, wireType 2 =*/10).string(message.userId);
                return writer;
            };

            /**
             * Decodes a DisconnectAgentRequest message from the specified reader or buffer.
             * @function decode
             * @memberof toolwire.v1.DisconnectAgentRequest
             * @static
             * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
             * @param {number} [length] Message length if known beforehand
             * @returns {toolwire.v1.DisconnectAgentRequest} DisconnectAgentRequest
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            DisconnectAgentRequest.decode = function decode(reader, length, error, long) {
                if (!(reader instanceof $Reader))
                    reader = $Reader.create(reader);
                if (long === undefined)
                    long = 0;
                if (long > $Reader.recursionLimit)
                    throw Error("maximum nesting depth exceeded");
                var end, message;
                if (length === undefined)
                    end = reader.len;
                else {
                    end = reader.pos + length;
                    if (end > reader.len)
                        throw RangeError("index out of range");
                    length = reader.len;
                    reader.len = end;
                }
                message = new $root.toolwire.v1.DisconnectAgentRequest();
                while (reader.pos < end) {
                    var tag = reader.uint32();
                    if (tag === error)
                        break;
                    switch (tag >>> 3) {
                    case 1: {
                            message.userId = reader.string();
                            break;
                        }
                    default:
                        reader.skipType(tag & 7, long);
                        break;
                    }
                }
                if (length !== undefined) {
                    if (reader.pos !== end)
                        throw RangeError("index out of range");
                    reader.len = length;
                }
                return message;
            };

            return DisconnectAgentRequest;
        })();

        v1.DisconnectAgentResponse = (function() {

            /**
             * Properties of a DisconnectAgentResponse.
             * @memberof toolwire.v1
             * @interface IDisconnectAgentResponse
             * @property {string|null} [serverId] DisconnectAgentResponse serverId
             */

            /**
             * Constructs a new DisconnectAgentResponse.
             * @memberof toolwire.v1
             * @classdesc Represents a DisconnectAgentResponse.
             * @implements IDisconnectAgentResponse
             * @constructor
             * @param {toolwire.v1.IDisconnectAgentResponse=} [properties] Properties to set
             */
            function DisconnectAgentResponse(properties) {
                if (properties)
                    for (var keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                        if (properties[keys[i]] != null && keys[i] !== "__proto__")
                            this[keys[i]] = properties[keys[i]];
            }

            /**
             * DisconnectAgentResponse serverId.
             * @member {string} serverId
             * @memberof toolwire.v1.DisconnectAgentResponse
             * @instance
             */
            DisconnectAgentResponse.prototype.serverId = "";

            /**
             * Encodes the specified DisconnectAgentResponse message. Does not implicitly {@link toolwire.v1.DisconnectAgentResponse.verify|verify} messages.
             * @function encode
             * @memberof toolwire.v1.DisconnectAgentResponse
             * @static
             * @param {toolwire.v1.IDisconnectAgentResponse} message DisconnectAgentResponse message or plain object to encode
             * @param {$protobuf.Writer} [writer] Writer to encode to
             * @returns {$protobuf.Writer} Writer
             */
            DisconnectAgentResponse.encode = function encode(message, writer, q) {
                if (!writer)
                    writer = $Writer.create();
                if (q === undefined)
                    q = 0;
                if (q > $util.recursionLimit)
                    throw Error("max depth exceeded");
                if (message.serverId != null && Object.hasOwnProperty.call(message, "serverId"))
                    writer.uint32(/* id 1, wireType 2 =*/10).string(message.serverId);
                return writer;
            };

            /**
             * Decodes a DisconnectAgentResponse message from the specified reader or buffer.
             * @function decode
             * @memberof toolwire.v1.DisconnectAgentResponse
             * @static
             * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
             * @param {number} [length] Message length if known beforehand
             * @returns {toolwire.v1.DisconnectAgentResponse} DisconnectAgentResponse
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            DisconnectAgentResponse.decode = function decode(reader, length, error, long) {
                if (!(reader instanceof $Reader))
                    reader = $Reader.create(reader);
                if (long === undefined)
                    long = 0;
                if (long > $Reader.recursionLimit)
                    throw Error("maximum nesting depth exceeded");
                var end, message;
                if (length === undefined)
                    end = reader.len;
                else {
                    end = reader.pos + length;
                    if (end > reader.len)
                        throw RangeError("index out of range");
                    length = reader.len;
                    reader.len = end;
                }
                message = new $root.toolwire.v1.DisconnectAgentResponse();
                while (reader.pos < end) {
                    var tag = reader.uint32();
                    if (tag === error)
                        break;
                    switch (tag >>> 3) {
                    case 1: {
                            message.serverId = reader.string();
                            break;
                        }
                    default:
                        reader.skipType(tag & 7, long);
                        break;
                    }
                }
                if (length !== undefined) {
                    if (reader.pos !== end)
                        throw RangeError("index out of range");
                    reader.len = length;
                }
                return message;
            };

            return DisconnectAgentResponse;
        })();

        v1.ListExecutionsRequest = (function() {

            /**
             * Properties of a ListExecutionsRequest.
             * @memberof toolwire.v1
             * @interface IListExecutionsRequest
             * @property {string|null} [userId] ListExecutionsRequest userId
             * @property {google.protobuf.ITimestamp|null} [from] ListExecutionsRequest from
             * @property {google.protobuf.ITimestamp|null} [until] ListExecutionsRequest until
             * @property {number|null} [pageSize] ListExecutionsRequest pageSize
             * @property {string|null} [pageToken] ListExecutionsRequest pageToken
             */

            /**
             * Constructs a new ListExecutionsRequest.
             * @memberof toolwire.v1
             * @classdesc Represents a ListExecutionsRequest.
             * @implements IListExecutionsRequest
             * @constructor
             * @param {toolwire.v1.IListExecutionsRequest=} [properties] Properties to set
             */
            function ListExecutionsRequest(properties) {
                if (properties)
                    for (var keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                        if (properties[keys[i]] != null && keys[i] !== "__proto__")
                            this[keys[i]] = properties[keys[i]];
            }

            /**
             * ListExecutionsRequest userId.
             * @member {string} userId
             * @memberof toolwire.v1.ListExecutionsRequest
             * @instance
             */
            ListExecutionsRequest.prototype.userId = "";

            /**
             * ListExecutionsRequest from.
             * @member {google.protobuf.ITimestamp|null|undefined} from
             * @memberof toolwire.v1.ListExecutionsRequest
             * @instance
             */
            ListExecutionsRequest.prototype.from = null;

            /**
             * ListExecutionsRequest until.
             * @member {google.protobuf.ITimestamp|null|undefined} until
             * @memberof toolwire.v1.ListExecutionsRequest
             * @instance
             */
            ListExecutionsRequest.prototype.until = null;

            /**
             * ListExecutionsRequest pageSize.
             * @member {number} pageSize
             * @memberof toolwire.v1.ListExecutionsRequest
             * @instance
             */
            ListExecutionsRequest.prototype.pageSize = 0;

            /**
             * ListExecutionsRequest pageToken.
             * @member {string} pageToken
             * @memberof toolwire.v1.ListExecutionsRequest
             * @instance
             */
            ListExecutionsRequest.prototype.pageToken = "";

            /**
             * Encodes the specified ListExecutionsRequest message. Does not implicitly {@link toolwire.v1.ListExecutionsRequest.verify|verify} messages.
             * @function encode
             * @memberof toolwire.v1.ListExecutionsRequest
             * @static
             * @param {toolwire.v1.IListExecutionsRequest} message ListExecutionsRequest message or plain object to encode
             * @param {$protobuf.Writer} [writer] Writer to encode to
             * @returns {$protobuf.Writer} Writer
             */
            ListExecutionsRequest.encode = function encode(message, writer, q) {
                if (!writer)
                    writer = $Writer.create();
                if (q === undefined)
                    q = 0;
                if (q > $util.recursionLimit)
                    throw Error("max depth exceeded");
                if (message.userId != null && Object.hasOwnProperty.call(message, "userId"))
                    writer.uint32(/* id 1, wireType 2 =*/10).string(message.userId);
                if (message.from != null && Object.hasOwnProperty.call(message, "from"))
                    $root.google.protobuf.Timestamp.encode(message.from, writer.uint32(/* id 2, wireType 2 =*/18).fork(), q + 1).ldelim();
                if (message.until != null && Object.hasOwnProperty.call(message, "until"))
                    $root.google.protobuf.Timestamp.encode(message.until, writer.uint32(/* id 3, wireType 2 =*/26).fork(), q + 1).ldelim();
                if (message.pageSize != null && Object.hasOwnProperty.call(message, "pageSize"))
                    writer.uint32(/* id 4, wireType 0 =*/32).int32(message.pageSize);
                if (message.pageToken != null && Object.hasOwnProperty.call(message, "pageToken"))
                    writer.uint32(/* id 5, wireType 2 =*/42).string(message.pageToken);
                return writer;
            };

            /**
             * Decodes a ListExecutionsRequest message from the specified reader or buffer.
             * @function decode
             * @memberof toolwire.v1.ListExecutionsRequest
             * @static
             * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
             * @param {number} [length] Message length if known beforehand
             * @returns {toolwire.v1.ListExecutionsRequest} ListExecutionsRequest
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            ListExecutionsRequest.decode = function decode(reader, length, error, long) {
                if (!(reader instanceof $Reader))
                    reader = $Reader.create(reader);
                if (long === undefined)
                    long = 0;
                if (long > $Reader.recursionLimit)
                    throw Error("maximum nesting depth exceeded");
                var end, message;
                if (length === undefined)
                    end = reader.len;
                else {
                    end = reader.pos + length;
                    if (end > reader.len)
                        throw RangeError("index out of range");
                    length = reader.len;
                    reader.len = end;
                }
                message = new $root.toolwire.v1.ListExecutionsRequest();
                while (reader.pos < end) {
                    var tag = reader.uint32();
                    if (tag === error)
                        break;
                    switch (tag >>> 3) {
                    case 1: {
                            message.userId = reader.string();
                            break;
                        }
                    case 2: {
                            message.from = $root.google.protobuf.Timestamp.decode(reader, reader.uint32(), undefined, long + 1);
                            break;
                        }
                    case 3: {
                            message.until = $root.google.protobuf.Timestamp.decode(reader, reader.uint32(), undefined, long + 1);
                            break;
                        }
                    case 4: {
                            message.pageSize = reader.int32();
                            break;
                        }
                    case 5: {
                            message.pageToken = reader.string();
                            break;
                        }
                    default:
                        reader.skipType(tag & 7, long);
                        break;
                    }
                }
                if (length !== undefined) {
                    if (reader.pos !== end)
                        throw RangeError("index out of range");
                    reader.len = length;
                }
                return message;
            };

            return ListExecutionsRequest;
        })();

        v1.Execution = (function() {

            /**
             * Properties of an Execution.
             * @memberof toolwire.v1
             * @interface IExecution
             * @property {string|null} [userId] Execution userId
             * @property {string|null} [requestId] Execution requestId
             * @property {string|null} [tool] Execution tool
             * @property {Uint8Array|null} [paramsJson] Execution paramsJson
             * @property {Uint8Array|null} [resultJson] Execution resultJson
             * @property {boolean|null} [success] Execution success
             * @property {string|null} [error] Execution error
             * @property {number|Long|null} [executionTimeMs] Execution executionTimeMs
             * @property {google.protobuf.ITimestamp|null} [createdAt] Execution createdAt
             * @property {string|null} [caller] Execution caller
             */

            /**
             * Constructs a new Execution.
             * @memberof toolwire.v1
             * @classdesc Represents an Execution.
             * @implements IExecution
             * @constructor
             * @param {toolwire.v1.IExecution=} [properties] Properties to set
             */
            function Execution(properties) {
                if (properties)
                    for (var keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                        if (properties[keys[i]] != null && keys[i] !== "__proto__")
                            this[keys[i]] = properties[keys[i]];
            }

            /**
             * Execution userId.
             * @member {string} userId
             * @memberof toolwire.v1.Execution
             * @instance
             */
            Execution.prototype.userId = "";

            /**
             * Execution requestId.
             * @member {string} requestId
             * @memberof toolwire.v1.Execution
             * @instance
             */
            Execution.prototype.requestId = "";

            /**
             * Execution tool.
             * @member {string} tool
             * @memberof toolwire.v1.Execution
             * @instance
             */
            Execution.prototype.tool = "";

            /**
             * Execution paramsJson.
             * @member {Uint8Array} paramsJson
             * @memberof toolwire.v1.Execution
             * @instance
             */
            Execution.prototype.paramsJson = $util.newBuffer([]);

            /**
             * Execution resultJson.
             * @member {Uint8Array} resultJson
             * @memberof toolwire.v1.Execution
             * @instance
             */
            Execution.prototype.resultJson = $util.newBuffer([]);

            /**
             * Execution success.
             * @member {boolean} success
             * @memberof toolwire.v1.Execution
             * @instance
             */
            Execution.prototype.success = false;

            /**
             * Execution error.
             * @member {string} error
             * @memberof toolwire.v1.Execution
             * @instance
             */
            Execution.prototype.error = "";

            /**
             * Execution executionTimeMs.
             * @member {number|Long|null|undefined} executionTimeMs
             * @memberof toolwire.v1.Execution
             * @instance
             */
            Execution.prototype.executionTimeMs = null;

            /**
             * Execution createdAt.
             * @member {google.protobuf.ITimestamp|null|undefined} createdAt
             * @memberof toolwire.v1.Execution
             * @instance
             */
            Execution.prototype.createdAt = null;

            /**
             * Execution caller.
             * @member {string} caller
             * @memberof toolwire.v1.Execution
             * @instance
             */
            Execution.prototype.caller = "";

            // OneOf field names bound to virtual getters and setters
            var $oneOfFields;

            // Virtual OneOf for proto3 optional field
            Object.defineProperty(Execution.prototype, "_executionTimeMs", {
                get: $util.oneOfGetter($oneOfFields = ["executionTimeMs"]),
                set: $util.oneOfSetter($oneOfFields)
            });

            /**
             * Encodes the specified Execution message. Does not implicitly {@link toolwire.v1.Execution.verify|verify} messages.
             * @function encode
             * @memberof toolwire.v1.Execution
             * @static
             * @param {toolwire.v1.IExecution} message Execution message or plain object to encode
             * @param {$protobuf.Writer} [writer] Writer to encode to
             * @returns {$protobuf.Writer} Writer
             */
            Execution.encode = function encode(message, writer, q) {
                if (!writer)
                    writer = $Writer.create();
                if (q === undefined)
                    q = 0;
                if (q > $util.recursionLimit)
                    throw Error("max depth exceeded");
                if (message.userId != null && Object.hasOwnProperty.call(message, "userId"))
                    writer.uint32(/* id 1, wireType 2 =*/10).string(message.userId);
                if (message.requestId != null && Object.hasOwnProperty.call(message, "requestId"))
                    writer.uint32(/* id 2, wireType 2 =*/18).string(message.requestId);
                if (message.tool != null && Object.hasOwnProperty.call(message, "tool"))
                    writer.uint32(/* id 3, wireType 2 =*/26).string(message.tool);
                if (message.paramsJson != null && Object.hasOwnProperty.call(message, "paramsJson"))
                    writer.uint32(/* id 4, wireType 2 =*/34).bytes(message.paramsJson);
                if (message.resultJson != null && Object.hasOwnProperty.call(message, "resultJson"))
                    writer.uint32(/* id 5, wireType 2 =*/42).bytes(message.resultJson);
                if (message.success != null && Object.hasOwnProperty.call(message, "success"))
                    writer.uint32(/* id 6, wireType 0 =*/48).bool(message.success);
                if (message.error != null && Object.hasOwnProperty.call(message, "error"))
                    writer.uint32(/* id 7, wireType 2 =*/58).string(message.error);
                if (message.executionTimeMs != null && Object.hasOwnProperty.call(message, "executionTimeMs"))
                    writer.uint32(/* id 8, wireType 0 =*/64).int64(message.executionTimeMs);
                if (message.createdAt != null && Object.hasOwnProperty.call(message, "createdAt"))
                    $root.google.protobuf.Timestamp.encode(message.createdAt, writer.uint32(/* id 9, wireType 2 =*/74).fork(), q + 1).ldelim();
                if (message.caller != null && Object.hasOwnProperty.call(message, "caller"))
                    writer.uint32(/* id 10, wireType 2 =*/82).string(message.caller);
                return writer;
            };

            /**
             * Decodes an Execution message from the specified reader or buffer.
             * @function decode
             * @memberof toolwire.v1.Execution
             * @static
             * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
             * @param {number} [length] Message length if known beforehand
             * @returns {toolwire.v1.Execution} Execution
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            Execution.decode = function decode(reader, length, error, long) {
                if (!(reader instanceof $Reader))
                    reader = $Reader.create(reader);
                if (long === undefined)
                    long = 0;
                if (long > $Reader.recursionLimit)
                    throw Error("maximum nesting depth exceeded");
                var end, message;
                if (length === undefined)
                    end = reader.len;
                else {
                    end = reader.pos + length;
                    if (end > reader.len)
                        throw RangeError("index out of range");
                    length = reader.len;
                    reader.len = end;
                }
                message = new $root.toolwire.v1.Execution();
                while (reader.pos < end) {
                    var tag = reader.uint32();
                    if (tag === error)
                        break;
                    switch (tag >>> 3) {
                    case 1: {
                            message.userId = reader.string();
                            break;
                        }
                    case 2: {
                            message.requestId = reader.string();
                            break;
                        }
                    case 3: {
                            message.tool = reader.string();
                            break;
                        }
                    case 4: {
                            message.paramsJson = reader.bytes();
                            break;
                        }
                    case 5: {
                            message.resultJson = reader.bytes();
                            break;
                        }
                    case 6: {
                            message.success = reader.bool();
                            break;
                        }
                    case 7: {
                            message.error = reader.string();
                            break;
                        }
                    case 8: {
                            message.executionTimeMs = reader.int64();
                            break;
                        }
                    case 9: {
                            message.createdAt = $root.google.protobuf.Timestamp.decode(reader, reader.uint32(), undefined, long + 1);
                            break;
                        }
                    case 10: {
                            message.caller = reader.string();
                            break;
                        }
                    default:
                        reader.skipType(tag & 7, long);
                        break;
                    }
                }
                if (length !== undefined) {
                    if (reader.pos !== end)
                        throw RangeError("index out of range");
                    reader.len = length;
                }
                return message;
            };

            return Execution;
        })();

        v1.ListExecutionsResponse = (function() {

            /**
             * Properties of a ListExecutionsResponse.
             * @memberof toolwire.v1
             * @interface IListExecutionsResponse
             * @property {Array.<toolwire.v1.IExecution>|null} [executions] ListExecutionsResponse executions
             * @property {string|null} [nextPageToken] ListExecutionsResponse nextPageToken
             */

            /**
             * Constructs a new ListExecutionsResponse.
             * @memberof toolwire.v1
             * @classdesc Represents a ListExecutionsResponse.
             * @implements IListExecutionsResponse
             * @constructor
             * @param {toolwire.v1.IListExecutionsResponse=} [properties] Properties to set
             */
            function ListExecutionsResponse(properties) {
                this.executions = [];
                if (properties)
                    for (var keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                        if (properties[keys[i]] != null && keys[i] !== "__proto__")
                            this[keys[i]] = properties[keys[i]];
            }

            /**
             * ListExecutionsResponse executions.
             * @member {Array.<toolwire.v1.IExecution>} executions
             * @memberof toolwire.v1.ListExecutionsResponse
             * @instance
             */
            ListExecutionsResponse.prototype.executions = $util.emptyArray;

            /**
             * ListExecutionsResponse nextPageToken.
             * @member {string} nextPageToken
             * @memberof toolwire.v1.ListExecutionsResponse
             * @instance
             */
            ListExecutionsResponse.prototype.nextPageToken = "";

            /**
             * Encodes the specified ListExecutionsResponse message. Does not implicitly {@link toolwire.v1.ListExecutionsResponse.verify|verify} messages.
             * @function encode
             * @memberof toolwire.v1.ListExecutionsResponse
             * @static
             * @param {toolwire.v1.IListExecutionsResponse} message ListExecutionsResponse message or plain object to encode
             * @param {$protobuf.Writer} [writer] Writer to encode to
             * @returns {$protobuf.Writer} Writer
             */
            ListExecutionsResponse.encode = function encode(message, writer, q) {
                if (!writer)
                    writer = $Writer.create();
                if (q === undefined)
                    q = 0;
                if (q > $util.recursionLimit)
                    throw Error("max depth exceeded");
                if (message.executions != null && message.executions.length)
                    for (var i = 0; i < message.executions.length; ++i)
                        $root.toolwire.v1.Execution.encode(message.executions[i], writer.uint32(/* id 1, wireType 2 =*/10).fork(), q + 1).ldelim();
                if (message.nextPageToken != null && Object.hasOwnProperty.call(message, "nextPageToken"))
                    writer.uint32(/* id 2, wireType 2 =*/18).string(message.nextPageToken);
                return writer;
            };

            /**
             * Decodes a ListExecutionsResponse message from the specified reader or buffer.
             * @function decode
             * @memberof toolwire.v1.ListExecutionsResponse
             * @static
             * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
             * @param {number} [length] Message length if known beforehand
             * @returns {toolwire.v1.ListExecutionsResponse} ListExecutionsResponse
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            ListExecutionsResponse.decode = function decode(reader, length, error, long) {
                if (!(reader instanceof $Reader))
                    reader = $Reader.create(reader);
                if (long === undefined)
                    long = 0;
                if (long > $Reader.recursionLimit)
                    throw Error("maximum nesting depth exceeded");
                var end, message;
                if (length === undefined)
                    end = reader.len;
                else {
                    end = reader.pos + length;
                    if (end > reader.len)
                        throw RangeError("index out of range");
                    length = reader.len;
                    reader.len = end;
                }
                message = new $root.toolwire.v1.ListExecutionsResponse();
                while (reader.pos < end) {
                    var tag = reader.uint32();
                    if (tag === error)
                        break;
                    switch (tag >>> 3) {
                    case 1: {
                            if (!(message.executions && message.executions.length))
                                message.executions = [];
                            message.executions.push($root.toolwire.v1.Execution.decode(reader, reader.uint32(), undefined, long + 1));
                            break;
                        }
                    case 2: {
                            message.nextPageToken = reader.string();
                            break;
                        }
                    default:
                        reader.skipType(tag & 7, long);
                        break;
                    }
                }
                if (length !== undefined) {
                    if (reader.pos !== end)
                        throw RangeError("index out of range");
                    reader.len = length;
                }
                return message;
            };

            return ListExecutionsResponse;
        })();

        return v1;
    })();

    return toolwire;
})();

$root.google = (function() {

    /**
     * Namespace google.
     * @exports google
     * @namespace
     */
    var google = {};

    google.protobuf = (function() {

        /**
         * Namespace protobuf.
         * @memberof google
         * @namespace
         */
        var protobuf = {};

        protobuf.Timestamp = (function() {

            /**
             * Properties of a Timestamp.
             * @memberof google.protobuf
             * @interface ITimestamp
             * @property {number|Long|null} [seconds] Timestamp seconds
             * @property {number|null} [nanos] Timestamp nanos
             */

            /**
             * Constructs a new Timestamp.
             * @memberof google.protobuf
             * @classdesc Represents a Timestamp.
             * @implements ITimestamp
             * @constructor
             * @param {google.protobuf.ITimestamp=} [properties] Properties to set
             */
            function Timestamp(properties) {
                if (properties)
                    for (var keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                        if (properties[keys[i]] != null && keys[i] !== "__proto__")
                            this[keys[i]] = properties[keys[i]];
            }

            /**
             * Timestamp seconds.
             * @member {number|Long} seconds
             * @memberof google.protobuf.Timestamp
             * @instance
             */
            Timestamp.prototype.seconds = $util.Long ? $util.Long.fromBits(0,0,false) : 0;

            /**
             * Timestamp nanos.
             * @member {number} nanos
             * @memberof google.protobuf.Timestamp
             * @instance
             */
            Timestamp.prototype.nanos = 0;

            /**
             * Encodes the specified Timestamp message. Does not implicitly {@link google.protobuf.Timestamp.verify|verify} messages.
             * @function encode
             * @memberof google.protobuf.Timestamp
             * @static
             * @param {google.protobuf.ITimestamp} message Timestamp message or plain object to encode
             * @param {$protobuf.Writer} [writer] Writer to encode to
             * @returns {$protobuf.Writer} Writer
             */
            Timestamp.encode = function encode(message, writer, q) {
                if (!writer)
                    writer = $Writer.create();
                if (q === undefined)
                    q = 0;
                if (q > $util.recursionLimit)
                    throw Error("max depth exceeded");
                if (message.seconds != null && Object.hasOwnProperty.call(message, "seconds"))
                    writer.uint32(/* id 1, wireType 0 =*/8).int64(message.seconds);
                if (message.nanos != null && Object.hasOwnProperty.call(message, "nanos"))
                    writer.uint32(/* id 2, wireType 0 =*/16).int32(message.nanos);
                return writer;
            };

            /**
             * Decodes a Timestamp message from the specified reader or buffer.
             * @function decode
             * @memberof google.protobuf.Timestamp
             * @static
             * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
             * @param {number} [length] Message length if known beforehand
             * @returns {google.protobuf.Timestamp} Timestamp
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            Timestamp.decode = function decode(reader, length, error, long) {
                if (!(reader instanceof $Reader))
                    reader = $Reader.create(reader);
                if (long === undefined)
                    long = 0;
                if (long > $Reader.recursionLimit)
                    throw Error("maximum nesting depth exceeded");
                var end, message;
                if (length === undefined)
                    end = reader.len;
                else {
                    end = reader.pos + length;
                    if (end > reader.len)
                        throw RangeError("index out of range");
                    length = reader.len;
                    reader.len = end;
                }
                message = new $root.google.protobuf.Timestamp();
                while (reader.pos < end) {
                    var tag = reader.uint32();
                    if (tag === error)
                        break;
                    switch (tag >>> 3) {
                    case 1: {
                            message.seconds = reader.int64();
                            break;
                        }
                    case 2: {
                            message.nanos = reader.int32();
                            break;
                        }
                    default:
                        reader.skipType(tag & 7, long);
                        break;
                    }
                }
                if (length !== undefined) {
                    if (reader.pos !== end)
                        throw RangeError("index out of range");
                    reader.len = length;
                }
                return message;
            };

            return Timestamp;
        })();

        protobuf.Duration = (function() {

            /**
             * Properties of a Duration.
             * @memberof google.protobuf
             * @interface IDuration
             * @property {number|Long|null} [seconds] Duration seconds
             * @property {number|null} [nanos] Duration nanos
             */

            /**
             * Constructs a new Duration.
             * @memberof google.protobuf
             * @classdesc Represents a Duration.
             * @implements IDuration
             * @constructor
             * @param {google.protobuf.IDuration=} [properties] Properties to set
             */
            function Duration(properties) {
                if (properties)
                    for (var keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                        if (properties[keys[i]] != null && keys[i] !== "__proto__")
                            this[keys[i]] = properties[keys[i]];
            }

            /**
             * Duration seconds.
             * @member {number|Long} seconds
             * @memberof google.protobuf.Duration
             * @instance
             */
            Duration.prototype.seconds = $util.Long ? $util.Long.fromBits(0,0,false) : 0;

            /**
             * Duration nanos.
             * @member {number} nanos
             * @memberof google.protobuf.Duration
             * @instance
             */
            Duration.prototype.nanos = 0;

            /**
             * Encodes the specified Duration message. Does not implicitly {@link google.protobuf.Duration.verify|verify} messages.
             * @function encode
             * @memberof google.protobuf.Duration
             * @static
             * @param {google.protobuf.IDuration} message Duration message or plain object to encode
             * @param {$protobuf.Writer} [writer] Writer to encode to
             * @returns {$protobuf.Writer} Writer
             */
            Duration.encode = function encode(message, writer, q) {
                if (!writer)
                    writer = $Writer.create();
                if (q === undefined)
                    q = 0;
                if (q > $util.recursionLimit)
                    throw Error("max depth exceeded");
                if (message.seconds != null && Object.hasOwnProperty.call(message, "seconds"))
                    writer.uint32(/* id 1, wireType 0 =*/8).int64(message.seconds);
                if (message.nanos != null && Object.hasOwnProperty.call(message, "nanos"))
                    writer.uint32(/* id 2, wireType 0 =*/16).int32(message.nanos);
                return writer;
            };

            /**
             * Decodes a Duration message from the specified reader or buffer.
             * @function decode
             * @memberof google.protobuf.Duration
             * @static
             * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
             * @param {number} [length] Message length if known beforehand
             * @returns {google.protobuf.Duration} Duration
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            Duration.decode = function decode(reader, length, error, long) {
                if (!(reader instanceof $Reader))
                    reader = $Reader.create(reader);
                if (long === undefined)
                    long = 0;
                if (long > $Reader.recursionLimit)
                    throw Error("maximum nesting depth exceeded");
                var end, message;
                if (length === undefined)
                    end = reader.len;
                else {
                    end = reader.pos + length;
                    if (end > reader.len)
                        throw RangeError("index out of range");
                    length = reader.len;
                    reader.len = end;
                }
                message = new $root.google.protobuf.Duration();
                while (reader.pos < end) {
                    var tag = reader.uint32();
                    if (tag === error)
                        break;
                    switch (tag >>> 3) {
                    case 1: {
                            message.seconds = reader.int64();
                            break;
                        }
                    case 2: {
                            message.nanos = reader.int32();
                            break;
                        }
                    default:
                        reader.skipType(tag & 7, long);
                        break;
                    }
                }
                if (length !== undefined) {
                    if (reader.pos !== end)
                        throw RangeError("index out of range");
                    reader.len = length;
                }
                return message;
            };

            return Duration;
        })();

        protobuf.Struct = (function() {

            /**
             * Properties of a Struct.
             * @memberof google.protobuf
             * @interface IStruct
             * @property {Object.<string,google.protobuf.IValue>|null} [fields] Struct fields
             */

            /**
             * Constructs a new Struct.
             * @memberof google.protobuf
             * @classdesc Represents a Struct.
             * @implements IStruct
             * @constructor
             * @param {google.protobuf.IStruct=} [properties] Properties to set
             */
            function Struct(properties) {
                this.fields = {};
                if (properties)
                    for (var keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                        if (properties[keys[i]] != null && keys[i] !== "__proto__")
                            this[keys[i]] = properties[keys[i]];
            }

            /**
             * Struct fields.
             * @member {Object.<string,google.protobuf.IValue>} fields
             * @memberof google.protobuf.Struct
             * @instance
             */
            Struct.prototype.fields = $util.emptyObject;

            /**
             * Encodes the specified Struct message. Does not implicitly {@link google.protobuf.Struct.verify|verify} messages.
             * @function encode
             * @memberof google.protobuf.Struct
             * @static
             * @param {google.protobuf.IStruct} message Struct message or plain object to encode
             * @param {$protobuf.Writer} [writer] Writer to encode to
             * @returns {$protobuf.Writer} Writer
             */
            Struct.encode = function encode(message, writer, q) {
                if (!writer)
                    writer = $Writer.create();
                if (q === undefined)
                    q = 0;
                if (q > $util.recursionLimit)
                    throw Error("max depth exceeded");
                if (message.fields != null && Object.hasOwnProperty.call(message, "fields"))
                    for (var keys = Object.keys(message.fields), i = 0; i < keys.length; ++i) {
                        writer.uint32(/* id 1, wireType 2 =*/10).fork().uint32(/* id 1, wireType 2 =*/10).string(keys[i]);
                        $root.google.protobuf.Value.encode(message.fields[keys[i]], writer.uint32(/* id 2, wireType 2 =*/18).fork(), q + 1).ldelim().ldelim();
                    }
                return writer;
            };

            /**
             * Decodes a Struct message from the specified reader or buffer.
             * @function decode
             * @memberof google.protobuf.Struct
             * @static
             * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
             * @param {number} [length] Message length if known beforehand
             * @returns {google.protobuf.Struct} Struct
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            Struct.decode = function decode(reader, length, error, long) {
                if (!(reader instanceof $Reader))
                    reader = $Reader.create(reader);
                if (long === undefined)
                    long = 0;
                if (long > $Reader.recursionLimit)
                    throw Error("maximum nesting depth exceeded");
                var end, message, key, value;
                if (length === undefined)
                    end = reader.len;
                else {
                    end = reader.pos + length;
                    if (end > reader.len)
                        throw RangeError("index out of range");
                    length = reader.len;
                    reader.len = end;
                }
                message = new $root.google.protobuf.Struct();
                while (reader.pos < end) {
                    var tag = reader.uint32();
                    if (tag === error)
                        break;
                    switch (tag >>> 3) {
                    case 1: {
                            if (message.fields === $util.emptyObject)
                                message.fields = {};
                            var end2 = reader.uint32() + reader.pos;
                            if (end2 > reader.len)
                                throw RangeError("index out of range");
                            reader.len = end2;
                            key = "";
                            value = null;
                            while (reader.pos < end2) {
                                var tag2 = reader.uint32();
                                switch (tag2 >>> 3) {
                                case 1:
                                    key = reader.string();
                                    break;
                                case 2:
                                    value = $root.google.protobuf.Value.decode(reader, reader.uint32(), undefined, long + 1);
                                    break;
                                default:
                                    reader.skipType(tag2 & 7, long);
                                    break;
                                }
                            }
                            if (reader.pos !== end2)
                                throw RangeError("index out of range");
                            reader.len = end;
                            if (key === "__proto__")
                                $util.makeProp(message.fields, key);
                            message.fields[key] = value;
                            break;
                        }
                    default:
                        reader.skipType(tag & 7, long);
                        break;
                    }
                }
                if (length !== undefined) {
                    if (reader.pos !== end)
                        throw RangeError("index out of range");
                    reader.len = length;
                }
                return message;
            };

            return Struct;
        })();

        protobuf.Value = (function() {

            /**
             * Properties of a Value.
             * @memberof google.protobuf
             * @interface IValue
             * @property {google.protobuf.NullValue|null} [nullValue] Value nullValue
             * @property {number|null} [numberValue] Value numberValue
             * @property {string|null} [stringValue] Value stringValue
             * @property {boolean|null} [boolValue] Value boolValue
             * @property {google.protobuf.IStruct|null} [structValue] Value structValue
             * @property {google.protobuf.IListValue|null} [listValue] Value listValue
             */

            /**
             * Constructs a new Value.
             * @memberof google.protobuf
             * @classdesc Represents a Value.
             * @implements IValue
             * @constructor
             * @param {google.protobuf.IValue=} [properties] Properties to set
             */
            function Value(properties) {
                if (properties)
                    for (var keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                        if (properties[keys[i]] != null && keys[i] !== "__proto__")
                            this[keys[i]] = properties[keys[i]];
            }

            /**
             * Value nullValue.
             * @member {google.protobuf.NullValue|null|undefined} nullValue
             * @memberof google.protobuf.Value
             * @instance
             */
            Value.prototype.nullValue = null;

            /**
             * Value numberValue.
             * @member {number|null|undefined} numberValue
             * @memberof google.protobuf.Value
             * @instance
             */
            Value.prototype.numberValue = null;

            /**
             * Value stringValue.
             * @member {string|null|undefined} stringValue
             * @memberof google.protobuf.Value
             * @instance
             */
            Value.prototype.stringValue = null;

            /**
             * Value boolValue.
             * @member {boolean|null|undefined} boolValue
             * @memberof google.protobuf.Value
             * @instance
             */
            Value.prototype.boolValue = null;

            /**
             * Value structValue.
             * @member {google.protobuf.IStruct|null|undefined} structValue
             * @memberof google.protobuf.Value
             * @instance
             */
            Value.prototype.structValue = null;

            /**
             * Value listValue.
             * @member {google.protobuf.IListValue|null|undefined} listValue
             * @memberof google.protobuf.Value
             * @instance
             */
            Value.prototype.listValue = null;

            // OneOf field names bound to virtual getters and setters
            var $oneOfFields;

            /**
             * Value kind.
             * @member {"nullValue"|"numberValue"|"stringValue"|"boolValue"|"structValue"|"listValue"|undefined} kind
             * @memberof google.protobuf.Value
             * @instance
             */
            Object.defineProperty(Value.prototype, "kind", {
                get: $util.oneOfGetter($oneOfFields = ["nullValue", "numberValue", "stringValue", "boolValue", "structValue", "listValue"]),
                set: $util.oneOfSetter($oneOfFields)
            });

            /**
             * Encodes the specified Value message. Does not implicitly {@link google.protobuf.Value.verify|verify} messages.
             * @function encode
             * @memberof google.protobuf.Value
             * @static
             * @param {google.protobuf.IValue} message Value message or plain object to encode
             * @param {$protobuf.Writer} [writer] Writer to encode to
             * @returns {$protobuf.Writer} Writer
             */
            Value.encode = function encode(message, writer, q) {
                if (!writer)
                    writer = $Writer.create();
                if (q === undefined)
                    q = 0;
                if (q > $util.recursionLimit)
                    throw Error("max depth exceeded");
                if (message.nullValue != null && Object.hasOwnProperty.call(message, "nullValue"))
                    writer.uint32(/* id 1, wireType 0 =*/8).int32(message.nullValue);
                if (message.numberValue != null && Object.hasOwnProperty.call(message, "numberValue"))
                    writer.uint32(/* id 2, wireType 1 =*/17).double(message.numberValue);
                if (message.stringValue != null && Object.hasOwnProperty.call(message, "stringValue"))
                    writer.uint32(/* id 3, wireType 2 =*/26).string(message.stringValue);
                if (message.boolValue != null && Object.hasOwnProperty.call(message, "boolValue"))
                    writer.uint32(/* id 4, wireType 0 =*/32).bool(message.boolValue);
                if (message.structValue != null && Object.hasOwnProperty.call(message, "structValue"))
                    $root.google.protobuf.Struct.encode(message.structValue, writer.uint32(/* id 5, wireType 2 =*/42).fork(), q + 1).ldelim();
                if (message.listValue != null && Object.hasOwnProperty.call(message, "listValue"))
                    $root.google.protobuf.ListValue.encode(message.listValue, writer.uint32(/* id 6, wireType 2 =*/50).fork(), q + 1).ldelim();
                return writer;
            };

            /**
             * Decodes a Value message from the specified reader or buffer.
             * @function decode
             * @memberof google.protobuf.Value
             * @static
             * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
             * @param {number} [length] Message length if known beforehand
             * @returns {google.protobuf.Value} Value
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            Value.decode = function decode(reader, length, error, long) {
                if (!(reader instanceof $Reader))
                    reader = $Reader.create(reader);
                if (long === undefined)
                    long = 0;
                if (long > $Reader.recursionLimit)
                    throw Error("maximum nesting depth exceeded");
                var end, message;
                if (length === undefined)
                    end = reader.len;
                else {
                    end = reader.pos + length;
                    if (end > reader.len)
                        throw RangeError("index out of range");
                    length = reader.len;
                    reader.len = end;
                }
                message = new $root.google.protobuf.Value();
                while (reader.pos < end) {
                    var tag = reader.uint32();
                    if (tag === error)
                        break;
                    switch (tag >>> 3) {
                    case 1: {
                            message.nullValue = reader.int32();
                            break;
                        }
                    case 2: {
                            message.numberValue = reader.double();
                            break;
                        }
                    case 3: {
                            message.stringValue = reader.string();
                            break;
                        }
                    case 4: {
                            message.boolValue = reader.bool();
                            break;
                        }
                    case 5: {
                            message.structValue = $root.google.protobuf.Struct.decode(reader, reader.uint32(), undefined, long + 1);
                            break;
                        }
                    case 6: {
                            message.listValue = $root.google.protobuf.ListValue.decode(reader, reader.uint32(), undefined, long + 1);
                            break;
                        }
                    default:
                        reader.skipType(tag & 7, long);
                        break;
                    }
                }
                if (length !== undefined) {
                    if (reader.pos !== end)
                        throw RangeError("index out of range");
                    reader.len = length;
                }
                return message;
            };

            return Value;
        })();

        /**
         * NullValue enum.
         * @name google.protobuf.NullValue
         * @enum {number}
         * @property {number} NULL_VALUE=0 NULL_VALUE value
         */
        protobuf.NullValue = (function() {
            var valuesById = {}, values = Object.create(valuesById);
            values[valuesById[0] = "NULL_VALUE"] = 0;
            return values;
        })();

        protobuf.ListValue = (function() {

            /**
             * Properties of a ListValue.
             * @memberof google.protobuf
             * @interface IListValue
             * @property {Array.<google.protobuf.IValue>|null} [values] ListValue values
             */

            /**
             * Constructs a new ListValue.
             * @memberof google.protobuf
             * @classdesc Represents a ListValue.
             * @implements IListValue
             * @constructor
             * @param {google.protobuf.IListValue=} [properties] Properties to set
             */
            function ListValue(properties) {
                this.values = [];
                if (properties)
                    for (var keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                        if (properties[keys[i]] != null && keys[i] !== "__proto__")
                            this[keys[i]] = properties[keys[i]];
            }

            /**
             * ListValue values.
             * @member {Array.<google.protobuf.IValue>} values
             * @memberof google.protobuf.ListValue
             * @instance
             */
            ListValue.prototype.values = $util.emptyArray;

            /**
             * Encodes the specified ListValue message. Does not implicitly {@link google.protobuf.ListValue.verify|verify} messages.
             * @function encode
             * @memberof google.protobuf.ListValue
             * @static
             * @param {google.protobuf.IListValue} message ListValue message or plain object to encode
             * @param {$protobuf.Writer} [writer] Writer to encode to
             * @returns {$protobuf.Writer} Writer
             */
            ListValue.encode = function encode(message, writer, q) {
                if (!writer)
                    writer = $Writer.create();
                if (q === undefined)
                    q = 0;
                if (q > $util.recursionLimit)
                    throw Error("max depth exceeded");
                if (message.values != null && message.values.length)
                    for (var i = 0; i < message.values.length; ++i)
                        $root.google.protobuf.Value.encode(message.values[i], writer.uint32(/* id 1, wireType 2 =*/10).fork(), q + 1).ldelim();
                return writer;
            };

            /**
             * Decodes a ListValue message from the specified reader or buffer.
             * @function decode
             * @memberof google.protobuf.ListValue
             * @static
             * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
             * @param {number} [length] Message length if known beforehand
             * @returns {google.protobuf.ListValue} ListValue
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            ListValue.decode = function decode(reader, length, error, long) {
                if (!(reader instanceof $Reader))
                    reader = $Reader.create(reader);
                if (long === undefined)
                    long = 0;
                if (long > $Reader.recursionLimit)
                    throw Error("maximum nesting depth exceeded");
                var end, message;
                if (length === undefined)
                    end = reader.len;
                else {
                    end = reader.pos + length;
                    if (end > reader.len)
                        throw RangeError("index out of range");
                    length = reader.len;
                    reader.len = end;
                }
                message = new $root.google.protobuf.ListValue();
                while (reader.pos < end) {
                    var tag = reader.uint32();
                    if (tag === error)
                        break;
                    switch (tag >>> 3) {
                    case 1: {
                            if (!(message.values && message.values.length))
                                message.values = [];
                            message.values.push($root.google.protobuf.Value.decode(reader, reader.uint32(), undefined, long + 1));
                            break;
                        }
                    default:
                        reader.skipType(tag & 7, long);
                        break;
                    }
                }
                if (length !== undefined) {
                    if (reader.pos !== end)
                        throw RangeError("index out of range");
                    reader.len = length;
                }
                return message;
            };

            return ListValue;
        })();

        return protobuf;
    })();

    return google;
})();

module.exports = $root;
