// Loaded with `node --require`: a server that would listen on all interfaces listens on loopback only.
const net = require("node:net");

const listen = net.Server.prototype.listen;

net.Server.prototype.listen = function (first, ...rest) {
  if (typeof first === "object" && first !== null && "port" in first) {
    return listen.call(this, { ...first, host: "127.0.0.1" }, ...rest);
  }
  const callback = rest.find((argument) => typeof argument === "function");
  this.once("listening", () => console.log(`listening on http://127.0.0.1:${this.address().port}/mcp`));
  return listen.call(this, { port: Number(first) || 0, host: "127.0.0.1" }, callback);
};
