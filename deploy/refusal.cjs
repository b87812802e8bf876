'use strict'
// Serverless prints the stack of what a configuration function throws; a wrong parameter is told in one line.
module.exports = (message) => Object.assign(new Error(message), { stack: message })
