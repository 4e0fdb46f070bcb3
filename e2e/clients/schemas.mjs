// The protocol's JSON Schemas, as its project publishes them, one for each
// revision. They are inside of the program of its conformance suite (npm
// @modelcontextprotocol/conformance), which exports nothing: so they are read
// out of its source text.
import { readFileSync } from 'node:fs';
import { parse } from 'acorn';
import { Ajv } from 'ajv';
import { Ajv2020 } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';

// literal is the value of a syntax tree that holds nothing but constants; a
// name in it is looked up in names.
function literal(node, names) {
  switch (node.type) {
    case 'Literal':
      return node.value;
    case 'TemplateLiteral':
      if (node.expressions.length > 0) throw new Error('not a constant');
      return node.quasis[0].value.cooked;
    case 'UnaryExpression':
      if (node.operator === '!') return !literal(node.argument, names);
      if (node.operator === '-') return -literal(node.argument, names);
      break;
    case 'ArrayExpression':
      return node.elements.map((element) => literal(element, names));
    case 'ObjectExpression':
      return Object.fromEntries(node.properties.map((p) => [
        p.computed ? literal(p.key, names) : p.key.name ?? p.key.value,
        literal(p.value, names),
      ]));
    case 'Identifier':
      if (names.has(node.name)) return literal(names.get(node.name), names);
  }
  throw new Error(`not a constant: ${node.type}`);
}

// read is the object whose keys are the revisions.
function read() {
  const path = new URL('node_modules/@modelcontextprotocol/conformance/dist/index.js', import.meta.url);
  const source = readFileSync(path, 'utf8').replace(/^#!.*/, '');
  const names = new Map();
  for (const statement of parse(source, { ecmaVersion: 'latest', sourceType: 'module' }).body) {
    for (const d of statement.type === 'VariableDeclaration' ? statement.declarations : []) {
      if (d.init && d.id.type === 'Identifier') names.set(d.id.name, d.init);
    }
  }
  for (const node of names.values()) {
    if (node.type !== 'ObjectExpression' || !node.properties.some((p) => p.key?.value === '2025-11-25' && p.value.type === 'Identifier')) continue;
    const found = literal(node, names);
    if (Object.values(found).every((schema) => schema.$schema && (schema.$defs ?? schema.definitions)?.JSONRPCMessage)) return found;
  }
  throw new Error('the conformance suite has no schemas where they used to be');
}

const unions = new Set(['ClientRequest', 'ClientNotification', 'ClientResult', 'ServerRequest', 'ServerNotification', 'ServerResult']);

// Revision checks messages against the schema of one revision.
class Revision {
  constructor(name, schema) {
    this.name = name;
    this.place = schema.$defs ? '$defs' : 'definitions';
    this.defs = schema[this.place];
    this.ajv = new (schema.$schema.includes('2020-12') ? Ajv2020 : Ajv)({ strict: false, allErrors: true });
    formats(this.ajv);
    this.ajv.addFormat('byte', true);
    this.ajv.addSchema({ ...schema, $id: `mcp:${name}` });
    this.methods = new Map(); // definition by method
    this.errors = new Map(); // definition by code
    for (const [definition, { properties = {} }] of Object.entries(this.defs)) {
      if (unions.has(definition)) continue;
      const method = properties.method?.const;
      if (method) this.methods.set(method, definition);
      for (const part of properties.error?.allOf ?? []) {
        const code = part.properties?.code?.const;
        if (code !== undefined) this.errors.set(code, definition);
      }
    }
  }

  // against is what is wrong with a value by a definition.
  against(definition, value) {
    const validate = this.ajv.getSchema(`mcp:${this.name}#/${this.place}/${definition}`);
    if (!validate) return [`${this.name} has no ${definition}`];
    if (validate(value)) return [];
    return validate.errors.map((e) => `${this.name} ${definition}${e.instancePath}: ${e.message} ${JSON.stringify(e.params)}`);
  }

  // request, notification, answer: what is wrong with a message.
  request(message) {
    return this.#method(message, 'JSONRPCRequest');
  }

  notification(message) {
    return this.#method(message, 'JSONRPCNotification');
  }

  #method(message, shape) {
    const definition = this.methods.get(message.method);
    if (!definition) return [`${this.name} has no method ${message.method}`];
    return [...this.against(shape, message), ...this.against(definition, message)];
  }

  answer(message, method) {
    if (message.error !== undefined) {
      const shape = this.defs.JSONRPCErrorResponse ? 'JSONRPCErrorResponse' : 'JSONRPCError';
      return this.against(this.errors.get(message.error?.code) ?? shape, message);
    }
    const shape = this.defs.JSONRPCResultResponse ? 'JSONRPCResultResponse' : 'JSONRPCResponse';
    const request = this.methods.get(method);
    if (!request) return [`${this.name} has no method ${method}, and it was answered with a result`];
    const result = message.result?.resultType === 'input_required' ? 'InputRequiredResult' : request.replace(/Request$/, 'Result');
    if (result === 'InputRequiredResult' && !(result in this.defs)) return [`${this.name} has no ${result}`];
    return [...this.against(shape, message), ...this.against(result in this.defs ? result : 'EmptyResult', message.result)];
  }
}

export const revisions = new Map(Object.entries(read()).map(([name, schema]) => [name, new Revision(name, schema)]));
