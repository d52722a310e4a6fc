/// <reference types="vite/client" />
declare module 'virtual:emoji/en' {
  const packed: unknown
  export default packed
}
declare module 'virtual:emoji/de' {
  const packed: unknown
  export default packed
}
