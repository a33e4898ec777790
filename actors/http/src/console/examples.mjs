// The constraints that a request may have: for each a name, an example, and how its text becomes the API's object.

const lines = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean);

/** `read` throws a `SyntaxError` where the text cannot be one; the node judges the rest. */
export const CONSTRAINTS = {
  json_schema: {
    name: "JSON Schema",
    help: "The answer is a JSON value that this schema accepts.",
    prompt: "Ada Lovelace, born 1815, wrote about mathematics and machines. As JSON.",
    example: `{
  "type": "object",
  "properties": {
    "name": { "type": "string" },
    "born": { "type": "integer" },
    "fields": { "type": "array", "items": { "type": "string" }, "maxItems": 4 }
  },
  "required": ["name", "born", "fields"],
  "additionalProperties": false
}`,
    read: (text) => ({ json_schema: JSON.parse(text) }),
  },
  regex: {
    name: "Regular expression",
    help: "The answer matches this expression as a whole.",
    prompt: "When did people first walk on the Moon?",
    example: "(19|20)[0-9]{2}-[0-9]{2}-[0-9]{2}",
    read: (text) => ({ regex: text }),
  },
  choice: {
    name: "Choice",
    help: "The answer is one of these lines.",
    prompt: "“The room was clean and the staff were lovely.” Is this",
    example: "positive\nneutral\nnegative",
    read: (text) => ({ choice: lines(text) }),
  },
  sql_schema: {
    name: "SQL for tables",
    help: "The answer is a SQL statement about the tables of these CREATE TABLE statements.",
    prompt: "Names of the five customers who spent the most.",
    example: `CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, city TEXT);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customers(id), total REAL);`,
    read: (text) => ({ sql_schema: text }),
  },
  graphql_schema: {
    name: "GraphQL for a schema",
    help: "The answer is a GraphQL document that is valid under this schema.",
    prompt: "Titles and authors' names of the newest books.",
    example: `type Query { books(newest: Int): [Book!]! }
type Book { title: String! author: Author! }
type Author { name: String! }`,
    read: (text) => ({ graphql_schema: text }),
  },
  lark: {
    name: "Grammar in Lark's syntax",
    help: "The answer is a text of the rule start.",
    prompt: "Three plus four, times two.",
    example: `start: sum
sum: product (("+" | "-") product)*
product: atom (("*" | "/") atom)*
atom: NUMBER | "(" sum ")"
NUMBER: /[0-9]{1,6}/`,
    read: (text) => ({ lark: text }),
  },
};
